//! Flags the way Docker's client (pflag) reads them, made of clap's parts.
//!
//! - `--flag=false` works for every switch, and `-e -x` gives `-x` to `-e`: pflag hands the next
//!   word to a flag that wants one, whatever it looks like. `allow_hyphen_values` is therefore set
//!   on *options only*; on the trailing arguments it would swallow unknown flags before IMAGE.
//! - Errors carry pflag's words; the value parsers here say what Go's `strconv` says.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};

/// The name of the one positional argument that takes all of them.
pub(crate) const ARGUMENTS: &str = "arguments";

/// A value that Go's `strconv` would refuse.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ParseError {
    #[error("strconv.{function}: parsing {text:?}: invalid syntax")]
    Syntax { function: &'static str, text: String },
    #[error("strconv.{function}: parsing {text:?}: value out of range")]
    Range { function: &'static str, text: String },
}

/// Whether flags may follow arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// `rm x -f` is `rm -f x`.
    Any,
    /// What follows the first argument belongs to it: `run IMAGE ls -l`.
    FlagsFirst,
}

/// Gives a command's flags pflag's ways and adds the arguments.
pub(crate) fn shape(command: Command, order: Order) -> Command {
    let command = command
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .mut_args(shape_flag)
        .arg(
            Arg::new("help").long("help").action(ArgAction::SetTrue).help("Print usage").hide(true),
        );
    command.arg(
        Arg::new(ARGUMENTS)
            .num_args(0..)
            .action(ArgAction::Append)
            .hide(true)
            .trailing_var_arg(order == Order::FlagsFirst),
    )
}

fn shape_flag(flag: Arg) -> Arg {
    if flag.is_positional() {
        return flag;
    }
    if matches!(flag.get_action(), ArgAction::SetTrue) {
        let flag =
            if flag.get_default_values().is_empty() { flag.default_value("false") } else { flag };
        return flag
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(boolean);
    }
    flag.allow_hyphen_values(true)
}

/// Whether a flag is a switch: it takes a value only after `=`.
pub(crate) fn is_switch(flag: &Arg) -> bool {
    flag.is_require_equals_set() || matches!(flag.get_action(), ArgAction::SetTrue)
}

/// What pflag would say about arguments that could not be understood.
pub(crate) fn explain(error: &clap::Error, command: &Command, words: &[String]) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let written = text(ContextKind::InvalidArg);
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "clap's list is open; the rest cannot happen with our flags"
    )]
    match error.kind() {
        ErrorKind::UnknownArgument => unknown(written, command, words),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            wanting(written, words)
        }
        ErrorKind::ValueValidation => {
            let cause = std::error::Error::source(error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            format!(
                "invalid argument {:?} for \"{}\" flag: {cause}",
                text(ContextKind::InvalidValue),
                both_names(written, command)
            )
        }
        ErrorKind::ArgumentConflict => {
            let other = match error.get(ContextKind::PriorArg) {
                Some(ContextValue::String(text)) => text.as_str(),
                Some(ContextValue::Strings(texts)) => texts.first().map_or("", String::as_str),
                _ => "",
            };
            let name = |written: &str| written.split([' ', '=']).next().unwrap_or("").to_owned();
            format!("conflicting options: {} and {}", name(written), name(other))
        }
        ErrorKind::InvalidUtf8 => "invalid UTF-8 in an argument".to_owned(),
        _ => error.to_string().trim_end().to_owned(),
    }
}

/// `--memory <bytes>` → `-m, --memory`.
fn both_names(written: &str, command: &Command) -> String {
    let name = written.split([' ', '=', '[']).next().unwrap_or(written);
    let long = name.trim_start_matches('-');
    let short =
        command.get_arguments().find(|flag| flag.get_long() == Some(long)).and_then(Arg::get_short);
    match short {
        Some(short) => format!("-{short}, --{long}"),
        None => name.to_owned(),
    }
}

fn unknown(written: &str, command: &Command, words: &[String]) -> String {
    match written.strip_prefix('-') {
        Some(letter) if !letter.starts_with('-') => {
            let letter = letter.chars().next().unwrap_or('-');
            // pflag names what is left of the word from the letter on.
            let rest = words
                .iter()
                .filter(|word| word.starts_with('-') && !word.starts_with("--"))
                .find_map(|word| unknown_rest(word, letter, command))
                .unwrap_or_else(|| letter.to_string());
            format!("unknown shorthand flag: '{letter}' in -{rest}")
        }
        Some(_) | None => format!("unknown flag: {written}"),
    }
}

/// What is left of `-izx` from the letter on, when all letters before it are known switches.
fn unknown_rest(word: &str, letter: char, command: &Command) -> Option<String> {
    let letters = word.get(1..)?;
    let position = letters.find(letter)?;
    let known = letters[..position].chars().all(|letter| {
        command.get_arguments().any(|flag| flag.get_short() == Some(letter) && is_switch(flag))
    });
    known.then(|| letters[position..].to_owned())
}

fn wanting(written: &str, words: &[String]) -> String {
    let name = written.split(' ').next().unwrap_or(written);
    match words.last() {
        Some(word) if !word.starts_with("--") && word.starts_with('-') => {
            let letter = word.chars().next_back().unwrap_or('-');
            format!("flag needs an argument: '{letter}' in -{letter}")
        }
        Some(_) | None => format!("flag needs an argument: {name}"),
    }
}

/// Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Result<bool, ParseError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ParseError::Syntax { function: "ParseBool", text: text.to_owned() }),
    }
}

/// Go's `strconv.ParseInt`.
pub(crate) fn integer(text: &str) -> Result<i64, ParseError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    text.parse().map_err(|_| refused("ParseInt", (text, digits)))
}

/// Go's `strconv.ParseUint` for 16 bits.
pub(crate) fn unsigned_16(text: &str) -> Result<u16, ParseError> {
    text.parse().map_err(|_| refused("ParseUint", (text, text)))
}

fn refused(function: &'static str, (text, digits): (&str, &str)) -> ParseError {
    let text = text.to_owned();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        ParseError::Range { function, text }
    } else {
        ParseError::Syntax { function, text }
    }
}

#[cfg(test)]
mod tests {
    use clap::Args as _;

    use super::*;

    #[derive(clap::Args)]
    struct Flags {
        #[arg(short, long)]
        interactive: bool,
        #[arg(long, default_value = "true")]
        sig_proxy: bool,
        #[arg(short, long, value_name = "list")]
        env: Vec<String>,
        #[arg(long, value_name = "int", value_parser = integer)]
        memory_swap: Option<i64>,
        #[arg(long = "as", value_name = "form", conflicts_with_all = ["env", "memory_swap"])]
        form: Option<String>,
    }

    fn parse(order: Order, words: &[&str]) -> Result<clap::ArgMatches, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let mut command = shape(Flags::augment_args(Command::new("run")), order);
        command.try_get_matches_from_mut(&words).map_err(|error| explain(&error, &command, &words))
    }

    fn arguments(matches: &clap::ArgMatches) -> Vec<&String> {
        matches.get_many::<String>(ARGUMENTS).into_iter().flatten().collect()
    }

    #[test]
    fn what_follows_the_image_is_the_commands() {
        let matches = parse(Order::FlagsFirst, &["-i", "img", "-x", "--", "--env", "a"]).unwrap();
        assert_eq!(arguments(&matches), ["img", "-x", "--", "--env", "a"]);
        let matches = parse(Order::FlagsFirst, &["--", "-img", "-x"]).unwrap();
        assert_eq!(arguments(&matches), ["-img", "-x"]);
    }

    #[test]
    fn elsewhere_flags_may_come_last() {
        let matches = parse(Order::Any, &["x", "-i", "y"]).unwrap();
        assert_eq!(arguments(&matches), ["x", "y"]);
        assert_eq!(matches.get_one("interactive"), Some(&true));
    }

    #[test]
    fn switches_take_a_value_only_after_the_equals_sign() {
        let matches = parse(Order::FlagsFirst, &["-i=false", "--sig-proxy=0", "true"]).unwrap();
        assert_eq!(matches.get_one("interactive"), Some(&false));
        assert_eq!(matches.get_one("sig_proxy"), Some(&false));
        assert_eq!(arguments(&matches), ["true"]);
        let matches = parse(Order::FlagsFirst, &[]).unwrap();
        assert_eq!(matches.get_one("sig_proxy"), Some(&true));
    }

    #[test]
    fn a_flag_that_wants_a_word_gets_the_next_one() {
        let words = ["-e", "-x", "-ieA=1", "--memory-swap", "-1", "img"];
        let matches = parse(Order::FlagsFirst, &words).unwrap();
        let env: Vec<&String> = matches.get_many("env").unwrap().collect();
        assert_eq!(env, ["-x", "A=1"]);
        assert_eq!(matches.get_one("memory_swap"), Some(&-1_i64));
        assert_eq!(arguments(&matches), ["img"]);
    }

    #[test]
    fn errors_are_in_pflags_words() {
        for (words, text) in [
            (&["--foo", "img"][..], "unknown flag: --foo"),
            (&["--foo=1"], "unknown flag: --foo"),
            (&["-iz", "img"], "unknown shorthand flag: 'z' in -z"),
            (&["-izx"], "unknown shorthand flag: 'z' in -zx"),
            (&["-z"], "unknown shorthand flag: 'z' in -z"),
            (&["--as", "x", "-e", "A=1"], "conflicting options: --as and --env"),
            (&["--env"], "flag needs an argument: --env"),
            (&["-ie"], "flag needs an argument: 'e' in -e"),
            (
                &["-i=maybe"],
                "invalid argument \"maybe\" for \"-i, --interactive\" flag: strconv.ParseBool: \
                 parsing \"maybe\": invalid syntax",
            ),
            (
                &["--memory-swap", "x"],
                "invalid argument \"x\" for \"--memory-swap\" flag: strconv.ParseInt: \
                 parsing \"x\": invalid syntax",
            ),
            (
                &["--memory-swap=99999999999999999999"],
                "invalid argument \"99999999999999999999\" for \"--memory-swap\" flag: \
                 strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
            ),
        ] {
            assert_eq!(parse(Order::FlagsFirst, words).unwrap_err(), text);
        }
    }
}
