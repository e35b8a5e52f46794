//! When a container that ended is started again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text or the pair from the API is no restart policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartPolicyError {
    /// A policy of this name does not exist.
    #[error(
        "invalid restart policy: unknown policy '{0}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
    )]
    UnknownPolicy(String),
    /// A count belongs to `on-failure` only.
    #[error("invalid restart policy: maximum retry count can only be used with 'on-failure'")]
    CountNotAllowed,
    /// The count is negative or no number.
    #[error("invalid restart policy: maximum retry count cannot be negative")]
    BadCount,
}

/// When a container that ended is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Always, also after the daemon came back, even when it had been stopped by hand.
    Always,
    /// Unless somebody stopped it.
    UnlessStopped,
    /// When it failed; at most `max_retries` times in a row, 0 for no bound.
    OnFailure {
        /// How often at most; 0 for no bound.
        max_retries: u32,
    },
}

impl RestartPolicy {
    /// The pair that the API carries: a name (empty for none) and a maximum count.
    pub fn from_api(name: &str, maximum_retry_count: i64) -> Result<Self, RestartPolicyError> {
        let max_retries =
            u32::try_from(maximum_retry_count).map_err(|_| RestartPolicyError::BadCount)?;
        let policy = match name {
            "" | "no" => Self::No,
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            "on-failure" => return Ok(Self::OnFailure { max_retries }),
            other => return Err(RestartPolicyError::UnknownPolicy(other.to_owned())),
        };
        if max_retries == 0 { Ok(policy) } else { Err(RestartPolicyError::CountNotAllowed) }
    }

    /// The name that the API carries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure { .. } => "on-failure",
        }
    }

    /// The count that the API carries.
    #[must_use]
    pub const fn max_retries(self) -> u32 {
        match self {
            Self::OnFailure { max_retries } => max_retries,
            Self::No | Self::Always | Self::UnlessStopped => 0,
        }
    }

    /// Whether a container that ended with this code after so many restarts in a row is started again.
    #[must_use]
    pub const fn restarts_after(self, code: i32, restarts: u32) -> bool {
        match self {
            Self::No => false,
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure { max_retries } => {
                code != 0 && (max_retries == 0 || restarts < max_retries)
            }
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = RestartPolicyError;

    /// The command line's form: `no`, `always`, `unless-stopped`, `on-failure[:N]`.
    fn from_str(text: &str) -> Result<Self, RestartPolicyError> {
        let (name, count) = match text.split_once(':') {
            Some((name, count)) => (name, count.parse().map_err(|_| RestartPolicyError::BadCount)?),
            None => (text, 0),
        };
        Self::from_api(name, count)
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnFailure { max_retries: count @ 1.. } => write!(f, "on-failure:{count}"),
            Self::OnFailure { .. } | Self::No | Self::Always | Self::UnlessStopped => {
                f.write_str(self.name())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_failure_counts_and_only_failures() {
        let policy: RestartPolicy = "on-failure:2".parse().unwrap();
        assert!(policy.restarts_after(1, 0));
        assert!(policy.restarts_after(1, 1));
        assert!(!policy.restarts_after(1, 2));
        assert!(!policy.restarts_after(0, 0));
    }

    #[test]
    fn a_count_belongs_to_on_failure() {
        assert_eq!("always:3".parse::<RestartPolicy>(), Err(RestartPolicyError::CountNotAllowed));
        assert_eq!(RestartPolicy::from_api("on-failure", -1), Err(RestartPolicyError::BadCount));
        assert!(
            "sometimes".parse::<RestartPolicy>().unwrap_err().to_string().contains("'sometimes'")
        );
    }
}
