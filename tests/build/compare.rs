//! The comparison itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use barge_testkit::need;

use crate::builders::{Arena, Builder};
use crate::case::{Case, Peers, corpus};
use crate::differences::{ANY, KNOWN};
use crate::facts::Facts;

/// How many cases are built at once.
const WORKERS: usize = 4;

/// Facts about how a layer came to be: those of the classic builder are its own, and a case that says what to expect
/// says nothing of them.
const OF_THE_MAKING: [&str; 2] = ["history ", "layers"];

#[test]
fn barge_builds_what_docker_builds() {
    need!(dockerd, bzip2, git, xz, zstd);
    let cases = corpus();
    let arena = Arena::prepare();
    let failed = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (builder, text) in arena.build(case) {
                        let facts = Facts::of_failure(&text);
                        failed.lock().unwrap().insert((case.name.clone(), builder), facts);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    let mut report = Report::default();
    for case in &cases {
        // What is squashed is made anew, as in Docker.
        let flags = case.words.flags.iter();
        let is_without_cache =
            flags.into_iter().any(|flag| flag == "--no-cache" || flag == "--squash");
        if !is_without_cache && !failed.contains_key(&(case.name.clone(), Builder::Barge)) {
            report.again(case, arena.build_again(case));
        }
    }
    let images = arena.images(&cases, failed);
    for case in &cases {
        report.compare(case, &images);
    }
    report.finish();
}

#[derive(Default)]
struct Report {
    text: String,
    /// Numbers in the list of differences, with the case that needs it.
    needed: BTreeSet<(usize, String)>,
}

impl Report {
    /// What is built twice is the same image, since everything comes from the cache.
    fn again(&mut self, case: &Case, difference: Option<String>) {
        if let Some(difference) = difference {
            writeln!(self.text, "{} built again: {difference}", case.name).unwrap();
        }
    }

    fn compare(&mut self, case: &Case, images: &BTreeMap<(String, Builder), Facts>) {
        let of = |builder: Builder| images.get(&(case.name.clone(), builder));
        let ours = of(Builder::Barge).unwrap();
        if case.words.only == Peers::Expect {
            self.compare_with_expectation(case, ours);
        }
        if let Some(theirs) = of(Builder::Classic) {
            let (ours, theirs) = (ours.clone(), theirs.clone());
            let pair = (ours.without(&OF_THE_MAKING), theirs.without(&OF_THE_MAKING));
            self.compare_with(case, Builder::Classic, &pair);
        }
        if let Some(theirs) = of(Builder::Buildkit) {
            self.compare_with(case, Builder::Buildkit, &(ours.clone(), theirs.clone()));
        }
    }

    fn compare_with(&mut self, case: &Case, peer: Builder, (ours, theirs): &(Facts, Facts)) {
        for difference in ours.against(theirs) {
            let known = KNOWN.iter().position(|known| known.covers(&case.name, peer, &difference));
            if let Some(known) = known {
                self.needed.insert((known, case.name.clone()));
                continue;
            }
            let value = |value: Option<&str>| value.unwrap_or("nothing").to_owned();
            let (here, there) = (value(difference.here), value(difference.there));
            let line = format!(
                "{}: {}\n    barge    {here}\n    {:<8} {there}",
                case.name,
                difference.fact,
                format!("{peer:?}").to_lowercase(),
            );
            writeln!(self.text, "{line}").unwrap();
        }
    }

    fn compare_with_expectation(&mut self, case: &Case, ours: &Facts) {
        let base = Arena::base(case.words.base.as_deref().unwrap_or("busybox"));
        let lines = ours.clone().without(&OF_THE_MAKING).beyond(&base.without(&OF_THE_MAKING));
        let (seen, expected) = (lines.join("\n      "), case.words.expect.join("\n      "));
        if seen != expected {
            let name = &case.name;
            writeln!(self.text, "{name}:\n    expected\n      {expected}\n    barge\n      {seen}")
                .unwrap();
        }
    }

    fn finish(mut self) {
        for (number, known) in KNOWN.iter().enumerate() {
            for case in known.cases {
                let mut needed = self.needed.iter();
                if !needed.any(|(known, by)| *known == number && (by == case || *case == ANY)) {
                    let (fact, why) = (known.fact, known.why);
                    writeln!(self.text, "{case} does not need {fact} ({why})").unwrap();
                }
            }
        }
        assert!(self.text.is_empty(), "\n{}", self.text);
    }
}
