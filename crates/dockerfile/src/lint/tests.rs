//! Each check with what it finds and what it leaves alone.

use super::*;

/// What is found in a file, as `Rule:line`.
fn found(text: &str) -> Vec<String> {
    found_with(text, None)
}

fn found_with(text: &str, ignore: Option<&str>) -> Vec<String> {
    let list = details(text, ignore);
    list.iter().map(|finding| format!("{}:{}", finding.rule.name, finding.first_line)).collect()
}

fn details(text: &str, ignore: Option<&str>) -> Vec<Finding> {
    let dockerfile = crate::parse("Dockerfile", text).unwrap();
    let ignore = ignore.map(|text| Patterns::parse(text).unwrap());
    let environment = |image: &str| (image == "known").then(|| vec!["GOPATH=/go".to_owned()]);
    let build_args = BTreeMap::from([("GIVEN".to_owned(), Some("given".to_owned()))]);
    let options =
        Options { build_args: &build_args, ignore: ignore.as_ref(), environment: &environment };
    check(text, &dockerfile, &options)
}

fn detail(text: &str) -> String {
    let list = details(text, None);
    assert_eq!(list.len(), 1, "{list:?}");
    list[0].detail.clone()
}

#[test]
fn a_clean_file_has_no_findings() {
    let text = "# syntax=docker/dockerfile:1\nARG VERSION=1\nFROM --platform=$BUILDPLATFORM known:$VERSION AS build\n\
                ARG TARGETARCH GIVEN\nENV A=$TARGETARCH B=\"$GIVEN x\"\nWORKDIR /src\nWORKDIR $A\nCOPY a* ./\nRUN echo $X\n\
                EXPOSE 80/tcp 443\nFROM build\nCOPY --from=build $A $B /\nUSER ${U:-1}\nCMD [\"a\"]\n";
    assert_eq!(found(text), [""; 0]);
}

#[test]
fn names_and_keywords_are_written_alike() {
    assert_eq!(found("FROM a AS Build"), ["StageNameCasing:1"]);
    assert_eq!(detail("FROM a AS Build"), "Stage name 'Build' should be lowercase");
    assert_eq!(detail("FROM a as b"), "'as' and 'FROM' keywords' casing do not match");
    assert_eq!(found("from a AS b"), ["FromAsCasing:1"]);
    assert_eq!(found("from a as b"), [""; 0]);
    assert_eq!(
        detail("FROM a\nrun b\nUSER c"),
        "Command 'run' should match the case of the command majority (uppercase)"
    );
    assert_eq!(
        found("from a\nRUN b\nuser c\nRun d"),
        ["ConsistentInstructionCasing:2", "ConsistentInstructionCasing:4"]
    );
}

#[test]
fn stages_have_names_of_their_own() {
    assert_eq!(found("FROM a AS b\nFROM c AS b"), ["DuplicateStageName:2"]);
    assert_eq!(
        detail("FROM a AS scratch"),
        "Stage name should not use the same name as reserved stage \"scratch\""
    );
    assert_eq!(found("FROM a AS context"), ["ReservedStageName:1"]);
}

#[test]
fn empty_lines_do_not_continue() {
    assert_eq!(found("FROM a\nRUN b \\\n\n c"), ["NoEmptyContinuation:2"]);
    assert_eq!(found("FROM a\nRUN b \\\n#\n c"), [""; 0]);
    assert_eq!(found("FROM a\nRUN <<E\n\n\nE"), [""; 0]);
}

#[test]
fn commands_are_json_unless_a_shell_was_chosen() {
    assert_eq!(
        found("FROM a\nCMD b\nENTRYPOINT c"),
        ["JSONArgsRecommended:2", "JSONArgsRecommended:3"]
    );
    assert_eq!(found("FROM a AS b\nSHELL [\"/bin/bash\"]\nCMD b\nFROM b\nCMD c"), [""; 0]);
}

#[test]
fn only_the_last_one_counts() {
    let text =
        "FROM a\nCMD [\"b\"]\nCMD [\"c\"]\nHEALTHCHECK NONE\nHEALTHCHECK NONE\nFROM a\nCMD [\"d\"]";
    assert_eq!(
        found(text),
        ["MultipleInstructionsDisallowed:2", "MultipleInstructionsDisallowed:4"]
    );
}

#[test]
fn old_forms_are_told() {
    assert_eq!(found("FROM a\nMAINTAINER b"), ["MaintainerDeprecated:2"]);
    assert_eq!(
        detail("FROM a\nENV b c"),
        "\"ENV key=value\" should be used instead of legacy \"ENV key value\" format"
    );
    assert_eq!(found("FROM a\nLABEL b c"), ["LegacyKeyValueFormat:2"]);
}

#[test]
fn bases_use_declared_arguments() {
    assert_eq!(
        detail("ARG VERSION=1\nFROM a:x${VERSOIN}"),
        "FROM argument 'VERSOIN' is not declared (did you mean VERSION?)"
    );
    assert_eq!(found("ARG A\nFROM b:$A"), ["InvalidDefaultArgInFrom:2"]);
    assert_eq!(found("ARG A=UPPER\nFROM $A"), ["InvalidDefaultArgInFrom:2"]);
    assert_eq!(found("ARG A=a B=$A:1\nFROM $B"), [""; 0]);
    assert_eq!(found("ARG A\nFROM b:${A:-1}"), [""; 0]);
}

#[test]
fn platforms_are_not_fixed() {
    assert_eq!(
        detail("FROM --platform=linux/amd64 a"),
        "FROM --platform flag should not use constant value \"linux/amd64\""
    );
    assert_eq!(found("FROM --platform=linux/amd64 a AS build-amd64"), [""; 0]);
    assert_eq!(found("FROM --platform=$TARGETPLATFORM a"), ["RedundantTargetPlatform:1"]);
    assert_eq!(found("FROM --platform=$BUILDPLATFORM a"), [""; 0]);
}

#[test]
fn variables_are_defined_before_their_use() {
    assert_eq!(detail("FROM scratch\nCOPY $FOO /"), "Usage of undefined variable '$FOO'");
    assert_eq!(
        detail("FROM a\nARG VERSION\nENV X=$VERSOIN"),
        "Usage of undefined variable '$VERSOIN' (did you mean $VERSION?)"
    );
    assert_eq!(found("FROM known\nENV A=$GOPATH B=$PATH C=$NOT"), ["UndefinedVar:2"]);
    assert_eq!(found("FROM unknown\nENV A=$GOPATH"), [""; 0], "it may come from the image");
    assert_eq!(found("FROM scratch\nENV A=1 B=$A"), ["UndefinedVar:2"]);
    assert_eq!(
        found("FROM scratch AS a\nARG X\nENV Y=1\nFROM a\nUSER $Y\nUSER $X"),
        ["UndefinedVar:6"]
    );
    assert_eq!(found("FROM scratch\nCOPY <<A <<'B' /\n$x\nA\n$y\nB"), ["UndefinedVar:2"]);
}

#[test]
fn folders_are_absolute() {
    assert_eq!(
        detail("FROM a\nWORKDIR b/c\nWORKDIR d"),
        "Relative workdir \"b/c\" can have unexpected results if the base image changes"
    );
    assert_eq!(found("FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y"), [""; 0]);
    assert_eq!(found("FROM a\nENV R=/r\nWORKDIR $R"), [""; 0]);
    assert_eq!(found("FROM a\nARG R\nWORKDIR $R/x"), [""; 0]);
    assert_eq!(found("FROM a\nARG GIVEN\nWORKDIR $GIVEN"), ["WorkdirRelativePath:3"]);
}

#[test]
fn secrets_are_elsewhere() {
    assert_eq!(
        detail("FROM a\nARG API_TOKEN"),
        "Do not use ARG or ENV instructions for sensitive data (ARG \"API_TOKEN\")"
    );
    assert_eq!(
        found("ARG key\nFROM a\nENV PASSWORD=1 MONKEY=2 PUBLIC_KEY=3 KEY_FILE=4"),
        ["SecretsUsedInArgOrEnv:1", "SecretsUsedInArgOrEnv:3"]
    );
}

#[test]
fn what_is_ignored_cannot_be_copied() {
    let file = "FROM a\nCOPY ./b/c d /\nADD b https://b/b /x\nCOPY --from=x b /";
    assert_eq!(found_with(file, Some("b")), ["CopyIgnoredFile:2", "CopyIgnoredFile:3"]);
    assert_eq!(found_with(file, Some("b\n!b/c")), [""; 0]);
    assert_eq!(
        details("FROM a\nCOPY b /", Some("b"))[0].detail,
        "Attempting to Copy file \"b\" that is excluded by .dockerignore"
    );
}

#[test]
fn ports_are_ports() {
    assert_eq!(
        detail("FROM a\nEXPOSE 80/TcP"),
        "Defined protocol '80/TcP' in EXPOSE instruction should be lowercase"
    );
    assert_eq!(
        detail("FROM a\nEXPOSE 127.0.0.1:80:80"),
        "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'"
    );
    assert_eq!(found("FROM a\nENV P=\"80 1:2\"\nEXPOSE $P"), ["ExposeInvalidFormat:3"]);
}

#[test]
fn rules_are_skipped_and_asked_for() {
    let bad = "FROM a AS B\nMAINTAINER c";
    assert_eq!(found(bad), ["StageNameCasing:1", "MaintainerDeprecated:2"]);
    assert_eq!(found(&format!("# check=skip=StageNameCasing\n{bad}")), ["MaintainerDeprecated:3"]);
    assert_eq!(found(&format!("# check=skip=all\n{bad}")), [""; 0]);
    let described = "# other text\nFROM a AS b\n# V is it\nARG V\n# none\n\nARG W\n# x\nARG Y Z\n";
    assert_eq!(found(described), [""; 0]);
    let asked = format!("# check=experimental=InvalidDefinitionDescription\n{described}");
    assert_eq!(
        found(&asked),
        ["InvalidDefinitionDescription:3", "InvalidDefinitionDescription:10"]
    );
    assert_eq!(
        details(&asked, None)[0].detail,
        "Comment for FROM should follow the format: `# b <description>`"
    );
}

#[test]
fn every_rule_has_a_page() {
    assert_eq!(RULES.len(), 21);
    assert_eq!(RULES[0].url(), "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/");
}

#[test]
fn much_of_everything_does_not_hold_it_up() {
    let names = |from: usize| {
        (from..from + 5_000).map(|n| format!(" NAME_{n}=$OTHER_{n}")).collect::<String>()
    };
    let mut text = "FROM scratch AS s\n".to_owned();
    for part in 0..4 {
        text += &format!("ENV \\\n{}\n", names(part * 5_000).replace(" N", "\\\n N"));
    }
    for stage in 0..900 {
        text += &format!("FROM s AS s{stage}\nENV X=1\nUSER $NAME_X$X\n");
    }
    assert_eq!(found(&text).len(), MOST);
}

#[test]
fn variables_that_grow_do_not_hold_it_up() {
    let mut text = "FROM scratch\nENV A=0123456789\n".to_owned();
    for _ in 0..1000 {
        text.push_str("ENV A=$A$A$A$A\n");
    }
    assert_eq!(found(&text), [""; 0]);
}

#[test]
fn arguments_are_inherited_from_the_stage_below() {
    let base = "FROM known AS base\nARG VER=1\n";
    assert_eq!(found(&format!("{base}FROM base\nENV V=$VER\n")), [""; 0]);
    let far = format!("{base}FROM base AS middle\nFROM middle\nENV V=$VER\n");
    assert_eq!(found(&far), [""; 0]);
    assert_eq!(found(&format!("{base}FROM known\nENV V=$VER\n")), ["UndefinedVar:4"]);
}
