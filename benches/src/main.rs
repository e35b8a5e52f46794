//! Measures barge beside docker and podman: the same things, on the same machine, in one run, in turns.
//!
//! Started by `cargo xtask bench`, which builds and installs what is compared and removes what is left.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod arena;
mod builds;
mod cases;
mod fixture;
mod floor;
mod http;
mod images;
mod many;
mod memory;
mod peers;
mod registry;
mod scale;
mod statistics;
mod table;
mod timed;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::arena::Arena;
use crate::floor::Floor;
use crate::peers::Peers;
use crate::table::Table;

/// What the command line says.
#[derive(Debug)]
struct Options {
    folder: PathBuf,
    programs: PathBuf,
    rounds: u32,
    only: String,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let (mut folder, mut programs) = (None, None);
        let (mut rounds, mut only, mut json) = (15, String::new(), None);
        while let Some(flag) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--folder" => folder = Some(PathBuf::from(value)),
                "--programs" => programs = Some(PathBuf::from(value)),
                "--rounds" => rounds = value.parse().context("--rounds is no number")?,
                "--only" => only = value,
                "--json" => json = Some(PathBuf::from(value)),
                _ => bail!("there is no option {flag}: --rounds N, --only SUBSTRING, --json FILE"),
            }
        }
        Ok(Self {
            folder: folder.context("--folder is missing")?,
            programs: programs.context("--programs is missing")?,
            rounds,
            only,
            json,
        })
    }

    fn wants(&self, row: &str) -> bool {
        row.contains(&self.only)
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match (std::env::args().nth(1).as_deref(), std::env::args().nth(2)) {
        (Some(floor::INSIDE), Some(folder)) => floor::inside(Path::new(&folder)),
        (Some(fixture::FETCH), None) => {
            println!("{}", fixture::fetch().display());
            Ok(())
        }
        _ => Options::parse(&mut arguments).and_then(|options| measure(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("barge-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let arena = Arena::enter(options.folder.clone(), options.programs.clone())?;
    let mut peers = Peers::assemble(&arena)?;
    let mut table = Table::default();
    cases::prepare(&peers)?;
    let mut cases = cases::all(&peers, Floor::prepare(&arena.folder)?);
    cases.retain(|case| options.wants(case.row));
    // The first round fills caches and is not counted.
    for round in 0..=options.rounds {
        for case in &mut cases {
            let time = case.measure().with_context(|| format!("{} of {:?}", case.row, case.who))?;
            if round > 0 {
                table.add(case.row, case.who, time);
            }
        }
        eprint!("\rround {round} of {}", options.rounds);
    }
    eprintln!();
    cases::finish(&peers)?;
    if options.wants("starts") {
        many::burst(&peers, &mut table)?;
    }
    if options.wants("memory") {
        many::memory(&mut peers, &mut table)?;
    }
    if options.wants("daemon start") {
        many::restarts(&mut peers, &mut table)?;
    }
    if images::ROWS.iter().any(|row| options.wants(row)) {
        let setup = images::Setup { folder: &arena.folder, rounds: options.rounds };
        images::measure(&mut peers, &mut table, setup)?;
    }
    if builds::ROWS.iter().any(|row| options.wants(row)) {
        let setup = builds::Setup { folder: &arena.folder, rounds: options.rounds };
        builds::measure(&mut peers, &mut table, setup)?;
    }
    if scale::ROWS.iter().any(|row| options.wants(row)) {
        scale::measure(&mut peers, &mut table)?;
    }
    for (_, daemon) in peers.daemons() {
        daemon.stop()?;
    }
    print!("{}", table.text());
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", table.json()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
