//! A small Dockerfile must not make much of the daemon's memory its own.

use super::workshop;
use crate::BuildError;

/// A line that declares as much as a line may, and one each that makes 900 KiB of it.
fn doubled((first, keyword): (&str, &str), lines: usize) -> String {
    let mut text = format!("{first} A={}\n", "x".repeat(60 << 10));
    for line in 0..lines {
        text.push_str(&format!("{keyword} B{line}={}\n", "$A".repeat(15)));
    }
    text
}

#[track_caller]
fn refused(dockerfile: &str, because: &str) {
    let workshop = workshop();
    let error = workshop.build(&workshop.request(dockerfile)).unwrap_err();
    assert!(error.chain().starts_with(because), "{}", &error.chain()[..200]);
    assert!(matches!(error.cause(), BuildError::Invalid(_)), "{error:?}");
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn variables_and_labels_of_one_image_are_bounded() {
    for keyword in ["ENV", "LABEL", "ARG"] {
        let text = format!("FROM busybox\n{}", doubled(("ENV", keyword), 12));
        refused(&text, "the configuration of one image would be larger than 8 MiB");
    }
}

#[test]
fn one_instruction_is_bounded_before_all_of_it_is_expanded() {
    let start = format!("FROM busybox\n{}", doubled(("ENV", "ENV"), 1));
    let many = |form: &str| (0..200).map(|n| form.replace('N', &n.to_string())).collect::<String>();
    for instruction in [
        format!("LABEL {}", many("lN=$B0 ")),
        format!("ENV {}", many("eN=$B0 ")),
        format!("ARG {}", many("aN=$B0 ")),
        format!("VOLUME {}", many("/N$B0 ")),
        format!("EXPOSE {}", many("$B0 ")),
        format!("COPY {} /to/", many("N$B0 ")),
        format!("RUN {} true", many("--mount=type=tmpfs,target=/N$B0 ")),
    ] {
        refused(&format!("{start}{instruction}\n"), "the words of one instruction would be larger");
    }
}

#[test]
fn what_all_stages_say_is_bounded() {
    let mut text = format!("FROM busybox AS s0\n{}", doubled(("ENV", "ENV"), 4));
    for stage in 1..11 {
        text.push_str(&format!("FROM s{} AS s{stage}\nENV N{stage}=1\n", stage - 1));
    }
    refused(&text, "the configurations of all stages would be larger than 64 MiB");
}

#[test]
fn arguments_of_all_stages_are_bounded() {
    let text = format!("{}FROM busybox\n", doubled(("ARG", "ARG"), 12));
    refused(&text, "the arguments before the first FROM would be larger than 8 MiB");
}

#[test]
fn dockerfiles_are_bounded() {
    let long = format!("FROM busybox\n# {}\n", "x".repeat(4 << 20));
    refused(&long, "the Dockerfile (Dockerfile) is larger than 4 MiB");
    let workshop = workshop();
    let mut request = workshop.request_with("", &[("Long", &long)]);
    request.dockerfile = crate::request::DockerfileSource::InContext("Long".to_owned());
    let error = workshop.build(&request).unwrap_err();
    assert_eq!(error.chain(), "the Dockerfile (Long) is larger than 4 MiB");
    let stages = "FROM scratch\n".repeat(1001);
    let error = workshop.build(&workshop.request(&stages)).unwrap_err();
    assert!(error.chain().contains("1000 stages at most"), "{}", error.chain());
    let lines = format!("FROM scratch\n{}", "ENV A=1\n".repeat(20_000));
    let error = workshop.build(&workshop.request(&lines)).unwrap_err();
    assert!(error.chain().contains("more than 20000 instructions"), "{}", error.chain());
}
