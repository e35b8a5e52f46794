//! Dockerfiles with a mistake: ours is an error where docker.io's is one, and it shows the line and what was meant.

use barge_testkit::need;

use crate::builders::{Arena, Builder};
use crate::case::mistakes;

#[test]
fn a_mistake_is_shown_with_its_line_and_what_was_meant() {
    need!(dockerd, bzip2, git, xz, zstd);
    let arena = Arena::prepare();
    let mut report = String::new();
    for case in &mistakes() {
        let outcomes = arena.build(case);
        for builder in Builder::of(case) {
            match outcomes.iter().find(|(failed, _)| failed == builder) {
                None => {
                    report.push_str(&format!("{}: {builder:?} sees nothing wrong\n", case.name));
                }
                Some((Builder::Barge, said)) => {
                    let missing: Vec<&String> =
                        case.words.says.iter().filter(|text| !said.contains(*text)).collect();
                    if !missing.is_empty() {
                        let name = &case.name;
                        report.push_str(&format!("{name} does not say {missing:?}:\n{said}\n"));
                    }
                }
                Some((Builder::Classic | Builder::Buildkit, _)) => {}
            }
        }
    }
    arena.assert_everybody_lives();
    assert!(report.is_empty(), "\n{report}");
}
