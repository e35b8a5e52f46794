//! Commands of Docker's client that barge does not have: it says so, and does not guess at another one.

use crate::error::CliError;

const NETWORKS: &str = "managing user-defined networks";
const SWARM: &str = "a daemon is no member of a swarm";
const PLUGINS: &str = "plugins, of the client and of the daemon";
const CONTEXTS: &str =
    "contexts are read, by --context and $DOCKER_CONTEXT, and made by docker's client";
const TRUST: &str = "signing images";
const CHECKPOINTS: &str = "checkpoints of containers";

/// The words of a command, and what it would be for.
const LATER: &[(&str, &str)] = &[
    ("checkpoint", CHECKPOINTS),
    ("compose", PLUGINS),
    ("config", SWARM),
    ("context", CONTEXTS),
    ("network connect", NETWORKS),
    ("network create", NETWORKS),
    ("network prune", NETWORKS),
    ("network disconnect", NETWORKS),
    ("network rm", NETWORKS),
    ("node", SWARM),
    ("plugin", PLUGINS),
    ("secret", SWARM),
    ("service", SWARM),
    ("stack", SWARM),
    ("swarm", SWARM),
    ("trust", TRUST),
];

/// The refusal of one of these.
pub(crate) fn later(words: &[&str]) -> Option<CliError> {
    let command = words.join(" ");
    let (_, what) = LATER.iter().find(|(later, _)| *later == command)?;
    Some(CliError::Later { command, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::find;

    #[test]
    fn none_of_them_is_there() {
        for (words, _) in LATER {
            let refused = later(&words.split(' ').collect::<Vec<_>>()).unwrap().to_string();
            assert!(refused.contains(&format!("'{words}' is not supported")), "{refused}");
            if !words.contains(' ') {
                assert!(find(words).is_none(), "{words}");
            }
        }
        assert!(later(&["ps"]).is_none());
    }
}
