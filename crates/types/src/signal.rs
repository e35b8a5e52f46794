//! Signals by the names and numbers that people type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid signal: {text}")]
pub struct SignalError {
    text: String,
}

/// A signal of x86 and arm Linux, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct Signal(u8);

/// The classic signals, at the index of their number less one (signal(7)).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// The first real-time signal that glibc leaves to programs.
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

impl Signal {
    /// Ends a process at once.
    pub const KILL: Self = Self(9);
    /// Asks a process to end.
    pub const TERM: Self = Self(15);
    /// Interrupts from the keyboard.
    pub const INT: Self = Self(2);

    /// 1 to 64.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }
}

impl TryFrom<i32> for Signal {
    type Error = SignalError;

    fn try_from(number: i32) -> Result<Self, SignalError> {
        match u8::try_from(number) {
            Ok(number @ 1..=RTMAX) => Ok(Self(number)),
            _ => Err(SignalError { text: number.to_string() }),
        }
    }
}

impl From<Signal> for i32 {
    fn from(signal: Signal) -> Self {
        signal.number()
    }
}

impl FromStr for Signal {
    type Err = SignalError;

    fn from_str(text: &str) -> Result<Self, SignalError> {
        let wrong = || SignalError { text: text.to_owned() };
        if let Ok(number) = text.parse::<i32>() {
            return Self::try_from(number).map_err(|_| wrong());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((number, _)) = (1..).zip(NAMES).find(|(_, known)| *known == name) {
            return Ok(Self(number));
        }
        let offset = |digits: &str| {
            if digits.is_empty() { Some(0) } else { digits.parse::<u8>().ok() }
        };
        let number = match name {
            "POLL" => Some(29),
            "IOT" => Some(6),
            "CLD" => Some(17),
            _ => {
                let from_min =
                    name.strip_prefix("RTMIN").map(|rest| rest.strip_prefix('+').unwrap_or(rest));
                let from_max =
                    name.strip_prefix("RTMAX").map(|rest| rest.strip_prefix('-').unwrap_or(rest));
                match (from_min, from_max) {
                    (Some(rest), _) => offset(rest).and_then(|n| RTMIN.checked_add(n)),
                    (_, Some(rest)) => offset(rest).and_then(|n| RTMAX.checked_sub(n)),
                    (None, None) => None,
                }
                .filter(|number| (RTMIN..=RTMAX).contains(number))
            }
        };
        number.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(f, "SIG{name}"),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None if self.0 == RTMAX => f.write_str("SIGRTMAX"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_same_signals() {
        for (text, number) in [
            ("KILL", 9),
            ("SIGTERM", 15),
            ("sigint", 2),
            ("9", 9),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("SYS", 31),
        ] {
            assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
        }
        assert_eq!(Signal::TERM.to_string(), "SIGTERM");
    }

    #[test]
    fn every_signal_parses_back_from_its_own_text() {
        for number in 1..=64 {
            let signal = Signal::try_from(number).unwrap();
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
        }
    }

    #[test]
    fn others_are_named_in_the_error() {
        for text in ["0", "65", "-1", "SIGFOO", "", "RTMIN+31"] {
            assert_eq!(
                text.parse::<Signal>().unwrap_err().to_string(),
                format!("invalid signal: {text}")
            );
        }
    }
}
