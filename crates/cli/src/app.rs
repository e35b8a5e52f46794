//! From the words of the command line to an exit code.
//!
//! Two steps of parsing, as in Docker's client: flags before the command are the program's, flags
//! after it are the command's, and only that command's table is built.

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches as _};

use crate::PROGRAM;
use crate::commands::{self, Input, Verb, What};
use crate::error::{CliError, Result, chain};
use crate::flags::{self, ARGUMENTS, Order};
use crate::root::{self, GlobalFlags};
use crate::session::Session;
use crate::streams::Streams;
use crate::{daemon, help};

/// Runs the command line `words` (without the program's name).
pub fn main(words: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let words: Vec<String> =
        words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CliError::Exit(_)) && !error.is_broken_pipe() {
                Streams.note(chain(&error));
            }
            ExitCode::from(error.code())
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    if let [first, program, log] = words
        && first == daemon::DETACH
    {
        return Err(daemon::detach(program, log));
    }
    let matches = parse(
        Parsed {
            command: root::command(),
            order: Order::FlagsFirst,
            path: PROGRAM,
            usage: "[OPTIONS] COMMAND [ARG...]",
        },
        words,
    )?;
    let rest = arguments(&matches);
    let mut globals = GlobalFlags::from_arg_matches(&matches)
        .map_err(|error| CliError::Invalid(error.to_string()))?;
    if let Some(level) = &globals.log_level
        && !["debug", "info", "warn", "error", "fatal", "trace", "panic"].contains(&level.as_str())
    {
        return Err(CliError::Invalid(format!("Unable to parse logging level: {level}")));
    }
    if globals.version {
        return Streams.line(commands::version_line());
    }
    if matches.get_flag("help") || rest.is_empty() {
        return Streams.write(root::help());
    }
    if rest.first().is_some_and(|word| word == "help") {
        // `barge help run` is `barge run --help`.
        let mut words = rest[1..].to_vec();
        words.push("--help".to_owned());
        return dispatch(&mut globals, &words);
    }
    dispatch(&mut globals, &rest)
}

fn dispatch(globals: &mut GlobalFlags, words: &[String]) -> Result<()> {
    let Some((name, rest)) = words.split_first() else {
        return Streams.write(root::help());
    };
    if name == "--help" {
        return Streams.write(root::help());
    }
    let path = format!("{PROGRAM} {name}");
    match commands::find(name).map(|entry| entry.what) {
        Some(What::Verb(verb)) => run_verb(globals, (&path, verb), rest),
        Some(What::Noun(noun)) => match rest.split_first() {
            None => {
                Streams.note(help::noun(&path, noun).trim_end());
                Ok(())
            }
            Some((word, _)) if word == "--help" => Streams.write(help::noun(&path, noun)),
            Some((word, rest)) => match noun.find(word) {
                Some(verb) => run_verb(globals, (&format!("{path} {word}"), verb), rest),
                None => Err(commands::later(&[name.as_str(), word]).unwrap_or_else(|| {
                    CliError::UnknownCommand {
                        usage: format!("Usage:  {path}\n\n"),
                        similar: commands::similar(&[noun.verbs], word),
                        path,
                        name: word.clone(),
                    }
                })),
            },
        },
        None => {
            Err(commands::later(&[name.as_str()]).unwrap_or_else(|| CliError::UnknownCommand {
                path: PROGRAM.to_owned(),
                name: name.clone(),
                usage: String::new(),
                similar: commands::similar(commands::TABLES, name),
            }))
        }
    }
}

fn run_verb(
    globals: &mut GlobalFlags,
    (path, verb): (&str, &'static Verb),
    words: &[String],
) -> Result<()> {
    let command = (verb.flags)(clap::Command::new(verb.name));
    let matches = parse(Parsed { command, order: verb.order, path, usage: verb.usage }, words)?;
    if matches.get_flag("help") {
        let command = flags::shape((verb.flags)(clap::Command::new(verb.name)), verb.order);
        return Streams.write(help::verb(path, verb, &command));
    }
    let arguments = arguments(&matches);
    verb.arity.check(arguments.len()).map_err(|(text, hint)| CliError::Arguments {
        text,
        usage: format!("{path} {}", verb.usage),
        path: path.to_owned(),
        hint,
    })?;
    let input = Input { matches, arguments };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::stdio("start the event loop"))?;
    let session = Session::new(globals);
    let result = runtime.block_on((verb.run)(&session, input));
    // A thread may still read standard input: it ends with the process, nobody waits for it.
    runtime.shutdown_background();
    result
}

/// A command to parse words for.
struct Parsed<'a> {
    command: clap::Command,
    order: Order,
    path: &'a str,
    usage: &'a str,
}

fn parse(parsed: Parsed<'_>, words: &[String]) -> Result<ArgMatches> {
    let mut command = flags::shape(parsed.command, parsed.order);
    command.try_get_matches_from_mut(words).map_err(|error| CliError::Flag {
        text: flags::explain(&error, &command, words),
        usage: format!("{} {}", parsed.path, parsed.usage),
        path: parsed.path.to_owned(),
    })
}

fn arguments(matches: &ArgMatches) -> Vec<String> {
    matches.get_many::<String>(ARGUMENTS).into_iter().flatten().cloned().collect()
}
