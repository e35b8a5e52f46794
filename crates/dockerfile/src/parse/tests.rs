//! Each instruction with its flags, and the words of its errors.

use super::*;
use crate::ast::{Command, Healthcheck, MountAccess, MountKind, Run, Sharing, Transfer};

fn read(text: &str) -> Dockerfile {
    parse("Dockerfile", text).unwrap()
}

fn wrong(text: &str) -> String {
    parse("Dockerfile", text).unwrap_err().to_string()
}

/// Instructions after `FROM scratch`.
fn instructions(text: &str) -> Vec<Instruction> {
    let file = read(&format!("FROM scratch\n{text}\n"));
    let [stage] = file.stages.as_slice() else { panic!("{:?}", file.stages) };
    stage.instructions.iter().map(|line| line.value.clone()).collect()
}

fn one(text: &str) -> Instruction {
    let all = instructions(text);
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

/// The error of an instruction on line 2, without its place.
fn refused(text: &str) -> String {
    let message = wrong(&format!("FROM scratch\n{text}\n"));
    message.strip_prefix("dockerfile parse error on line 2: ").unwrap_or(&message).to_owned()
}

fn run(text: &str) -> Run {
    let Instruction::Run(run) = one(text) else { panic!("{text}") };
    run
}

fn shell(text: &str) -> String {
    match run(text).command {
        Command::Shell(text) => text,
        Command::Exec(words) => panic!("{words:?}"),
    }
}

fn transfer(text: &str) -> Transfer {
    let (Instruction::Copy(transfer) | Instruction::Add(transfer)) = one(text) else {
        panic!("{text}")
    };
    transfer
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_file_becomes_stages() {
    let file = read(
        "# syntax=docker/dockerfile:1\nARG V=1 W\nfrom --platform=$BUILDPLATFORM a:$V as Build\nRUN x\nFROM build\n",
    );
    assert_eq!(file.directives.syntax.as_deref(), Some("docker/dockerfile:1"));
    assert_eq!(file.global_args[0].value.len(), 2);
    assert_eq!(file.global_args[0].value[0].default.as_deref(), Some("1"));
    assert_eq!(file.stages[0].name.as_deref(), Some("build"));
    assert_eq!(file.stages[0].from.value.image, "a:$V");
    assert_eq!(file.stages[0].from.value.platform.as_deref(), Some("$BUILDPLATFORM"));
    assert_eq!(file.stages[0].from.first_line, 3);
    assert_eq!(file.stages[1].name, None);
    assert_eq!(file.lines.len(), 4);
}

#[test]
fn lines_are_joined_and_comments_left_out() {
    assert_eq!(shell("RUN a \\\n  b \\  \n# comment\n  # another\n\n  c"), "a   b   c");
    assert_eq!(shell("  RUN echo # no comment"), "echo # no comment");
    assert_eq!(shell("RUN a \\"), "a");
    assert_eq!(shell("RUN a\\\\"), "a\\\\");
    assert_eq!(instructions("RUN a\\\\\nRUN b").len(), 2);
    assert_eq!(shell("RUN \\\r\n a\r"), "a");
    let file = read("FROM a\n\n\nRUN b \\\n c\n");
    let line = &file.stages[0].instructions[0];
    assert_eq!((line.first_line, line.last_line), (4, 5));
    assert_eq!(line.text, "RUN b  c");
}

#[test]
fn directives_are_at_the_top_only() {
    let escape = |text: &str| read(&format!("{text}\nFROM a\n")).directives.escape;
    assert_eq!(escape("# escape=`"), '`');
    assert_eq!(escape("#\tEsCape = ` "), '`');
    assert_eq!(escape("# syntax=docker/dockerfile\n# escape=`"), '`');
    assert_eq!(escape("#!/usr/bin/env x\n# escape=`"), '`');
    assert_eq!(escape("# hello\n# escape=`"), '\\');
    assert_eq!(escape("\n# escape=`"), '\\');
    assert_eq!(escape("# unknown=1\n# escape=`"), '\\');
    let syntax = read("// syntax=docker/dockerfile:1\nFROM a\n").directives.syntax;
    assert_eq!(syntax.as_deref(), Some("docker/dockerfile:1"));
    assert_eq!(shell("RUN dir c:\\ x"), "dir c:\\ x");
    let file = read("# escape=`\nFROM a\nCOPY x c:\\\nRUN a `\nb\n");
    assert_eq!(file.stages[0].instructions.len(), 2);
    let check = read("#check=skip=A,B;error=true;experimental=all\nFROM a\n").directives.check;
    assert_eq!((check.skip, check.is_error), (strings(&["A", "B"]), true));
    assert_eq!(check.experimental, ["all"]);
    assert_eq!(
        wrong("# escape=x\nFROM a"),
        "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\"
    );
    assert_eq!(
        wrong("# escape=`\n# escape=`\nFROM a"),
        "dockerfile parse error on line 2: only one escape parser directive can be used"
    );
    assert!(wrong("# check=skpi=A\nFROM a").ends_with("(did you mean skip?)"));
    assert!(wrong("# check=error=maybe\nFROM a").contains("neither true nor false"));
}

#[test]
fn files_without_stages_are_refused_in_dockers_words() {
    assert_eq!(wrong(""), "the Dockerfile (Dockerfile) cannot be empty");
    assert_eq!(wrong("# nothing\n\n"), "the Dockerfile (Dockerfile) cannot be empty");
    assert_eq!(wrong("ARG a\n"), "dockerfile contains no stages to build");
    assert_eq!(
        wrong("RUN a\nFROM b\n"),
        "dockerfile parse error on line 1: no build stage in current context"
    );
}

#[test]
fn what_was_mistyped_is_suggested() {
    assert_eq!(
        wrong("FROM a\nRUN b\nRUNN c\n"),
        "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)"
    );
    assert_eq!(refused("copi a b"), "unknown instruction: copi (did you mean COPY?)");
    assert_eq!(refused("COPY --chonw=1 a b"), "unknown flag: --chonw (did you mean --chown?)");
    assert_eq!(refused("CMD --x y"), "unknown flag: --x");
    assert_eq!(
        refused("RUN --mount=type=cahce,target=/a b"),
        "unsupported mount type \"cahce\" (did you mean cache?)"
    );
    assert_eq!(
        refused("RUN --mount=type=cache,tagret=/a b"),
        "unexpected key 'tagret' in 'type=cache,tagret=/a' (did you mean target?)"
    );
    assert!(refused("RUN --network=hots a").ends_with("(did you mean host?)"));
    let error = parse("Dockerfile", "FROM a\nRUNN b\n").unwrap_err();
    assert_eq!((error.first_line, error.text.as_str()), (2, "RUNN b"));
    assert!(error.excerpt("Dockerfile", "FROM a\nRUNN b\n").contains("   2 | >>> RUNN b\n"));
}

#[test]
fn frontends_are_dockers() {
    for image in [
        "docker/dockerfile",
        "docker/dockerfile:1.7-labs",
        "docker/dockerfile-upstream:master",
        "mirror.example:5000/library/dockerfile:1",
        "docker.io/docker/dockerfile:1@sha256:00 and words",
    ] {
        let file = read(&format!("# syntax={image}\nFROM a\n"));
        assert_eq!(file.directives.syntax.as_deref(), Some(image));
    }
    let text = "# escape=`\n# syntax = foo/bar:1 x\nFROM a\n";
    let error = parse("Dockerfile", text).unwrap_err();
    assert_eq!(error.first_line, 2);
    assert!(
        error.to_string().starts_with(
            "dockerfile parse error on line 2: foo/bar:1 is a frontend of its own, which barge \
             does not run: "
        ),
        "{error}"
    );
    assert!(error.excerpt("Dockerfile", text).contains("   2 | >>> # syntax = foo/bar:1 x\n"));
    assert!(wrong("# syntax=dockerfile/bar\nFROM a").contains("dockerfile/bar is a frontend"));
}

#[test]
fn from_takes_one_or_three_words() {
    assert_eq!(
        wrong("FROM a b"),
        "dockerfile parse error on line 1: FROM requires either one or three arguments"
    );
    assert_eq!(
        wrong("FROM"),
        "dockerfile parse error on line 1: FROM requires either one or three arguments"
    );
    assert!(wrong("FROM a SA b").ends_with("(did you mean AS?)"));
    assert_eq!(
        wrong("FROM a AS 1b"),
        "dockerfile parse error on line 1: invalid name for build stage: \"1b\", name can't start with a number or \
         contain symbols"
    );
}

#[test]
fn commands_have_two_forms() {
    let exec = |words: &[&str]| Command::Exec(strings(words));
    assert_eq!(one("CMD [\"a\", \"b c\"]"), Instruction::Cmd(exec(&["a", "b c"])));
    assert_eq!(one("CMD [ ]"), Instruction::Cmd(exec(&[])));
    assert_eq!(one("CMD ['a']"), Instruction::Cmd(Command::Shell("['a']".to_owned())));
    assert_eq!(one("CMD [\"a\"] b"), Instruction::Cmd(Command::Shell("[\"a\"] b".to_owned())));
    assert_eq!(shell("RUN [ -f x ] && y"), "[ -f x ] && y");
    assert_eq!(
        one("ENTRYPOINT [\"a\\n\", \\\n\"b\"]"),
        Instruction::Entrypoint(exec(&["a\n", "b"]))
    );
    assert_eq!(
        refused("CMD [\"a\", 1]"),
        "when using JSON array syntax, arrays must be comprised of strings only"
    );
    assert_eq!(
        one("SHELL [\"/bin/bash\",\"-c\"]"),
        Instruction::Shell(strings(&["/bin/bash", "-c"]))
    );
    assert_eq!(refused("SHELL bash"), "SHELL requires the arguments to be in JSON form");
    assert_eq!(refused("RUN"), "RUN requires at least one argument");
    assert_eq!(refused("USER"), "USER requires exactly one argument");
}

#[test]
fn names_have_values() {
    let env = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Instruction::Env(pairs.collect())
    };
    assert_eq!(
        one("ENV a=1 b=\"2 3\" c=x\\ y d="),
        env(&[("a", "1"), ("b", "\"2 3\""), ("c", "x\\ y"), ("d", "")])
    );
    assert_eq!(one("ENV a  b c=d"), env(&[("a", "b c=d")]));
    assert_eq!(refused("ENV a"), "ENV must have two arguments");
    assert_eq!(
        refused("ENV a=b c"),
        "Syntax error - can't find = in \"c\". Must be of the form: name=value"
    );
    assert_eq!(refused("LABEL =b"), "LABEL names can not be blank");
    let Instruction::Arg(words) = one("ARG a b=\"c d\"") else { panic!() };
    assert_eq!(words[0].default, None);
    assert_eq!(words[1].default.as_deref(), Some("\"c d\""));
}

#[test]
fn copies_have_sources_and_a_destination() {
    let copy = transfer(
        "COPY --from=x --chown=a:b --chmod=u+x --link --parents=false --exclude=*.md --exclude=*.txt a b /c/",
    );
    assert_eq!(copy.sources, ["a", "b"]);
    assert_eq!(copy.destination, "/c/");
    assert_eq!((copy.from.as_deref(), copy.chown.as_deref()), (Some("x"), Some("a:b")));
    assert_eq!(copy.chmod.as_deref(), Some("u+x"));
    assert!(copy.link && !copy.parents);
    assert_eq!(copy.exclude, ["*.md", "*.txt"]);
    assert_eq!(transfer("COPY [\"a b\", \"c\"]").sources, ["a b"]);
    let add = transfer("ADD --checksum=sha256:1 --keep-git-dir=true --unpack=0 https://x/y /z");
    assert_eq!(
        (add.checksum.as_deref(), add.keep_git_dir, add.unpack),
        (Some("sha256:1"), true, Some(false))
    );
    assert_eq!(
        refused("COPY a"),
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined"
    );
    assert_eq!(refused("ADD --from=x a b"), "unknown flag: --from");
    assert_eq!(refused("COPY --link=x a b"), "expecting boolean value for flag --link, not: x");
    assert_eq!(refused("COPY --from a b"), "missing a value on flag: --from");
    assert_eq!(refused("COPY --from=a --from=b c d"), "duplicate flag specified: --from");
    assert_eq!(transfer("COPY -- --a b").sources, ["--a"]);
}

#[test]
fn documents_follow_on_their_line() {
    let copy = transfer("COPY <<a <<-'b' 3<<\"c d\" x /dir/\n1 $x\n b\na\n\t\t2\n\tb\n3\nc d");
    assert_eq!(copy.sources, ["x"]);
    assert_eq!(copy.destination, "/dir/");
    let [a, b, c] = copy.heredocs.as_slice() else { panic!("{copy:?}") };
    assert_eq!((a.content.as_str(), a.is_expanded, a.is_chomped), ("1 $x\n b\n", true, false));
    assert_eq!((b.content.as_str(), b.is_expanded, b.is_chomped), ("2\n", false, true));
    assert_eq!((c.name.as_str(), c.descriptor, c.content.as_str()), ("c d", 3, "3\n"));
    assert_eq!(
        wrong("FROM a\nCOPY <<E /x\nb\n"),
        "dockerfile parse error on line 2: unterminated heredoc: no line that is \"E\""
    );
    assert_eq!(refused("COPY a <<E\nE"), "COPY cannot accept a heredoc as a destination");
}

#[test]
fn a_script_is_given_to_the_shell() {
    let script = run("RUN --network=none <<EOF\n#!/bin/sh\n# kept\n\necho $a\nEOF");
    assert_eq!(script.command, Command::Shell("#!/bin/sh\n# kept\n\necho $a\n".to_owned()));
    assert_eq!(script.heredocs.len(), 1);
    assert_eq!(script.network.as_deref(), Some("none"));
    let piped = run("RUN cat <<a 3<<b > c\n1\na\n2\nb");
    assert_eq!(piped.command, Command::Shell("cat <<a 3<<b > c\n1\na\n2\nb".to_owned()));
    assert!(piped.heredocs.is_empty());
    assert!(run("RUN <<EOF bash\na\nEOF").heredocs.is_empty());
    assert_eq!(shell("RUN cat <<<x"), "cat <<<x");
    assert_eq!(shell("RUN echo $((1 << 2)) \"<<EOF\""), "echo $((1 << 2)) \"<<EOF\"");
}

#[test]
fn mounts_have_options() {
    let mounts = run(
        "RUN --mount=type=cache,id=x,target=/a,sharing=locked,from=b,source=/c,uid=1,gid=2,mode=0700,ro \
         --mount=dst=/d,rw --mount=type=tmpfs,target=/e,size=64m --mount=type=secret,id=s,env=S,required \
         --mount=\"type=ssh,required=false\" a",
    );
    let [cache, bind, tmpfs, secret, ssh] = mounts.mounts.as_slice() else { panic!("{mounts:?}") };
    assert_eq!((cache.kind, cache.sharing), (MountKind::Cache, Sharing::Locked));
    assert_eq!((cache.uid, cache.gid, cache.mode), (Some(1), Some(2), Some(0o700)));
    assert_eq!(cache.access, Some(MountAccess::ReadOnly));
    assert_eq!((bind.kind, bind.access), (MountKind::Bind, Some(MountAccess::ReadWrite)));
    assert_eq!(bind.target.as_deref(), Some("/d"));
    assert_eq!((tmpfs.kind, tmpfs.size), (MountKind::Tmpfs, Some(64 << 20)));
    assert_eq!((secret.kind, secret.is_required), (MountKind::Secret, true));
    assert_eq!(secret.env.as_deref(), Some("S"));
    assert_eq!((ssh.kind, ssh.is_required), (MountKind::Ssh, false));
    let quoted = parse_mount("type=bind,\"source=a,\"\"b\",target=/c").unwrap();
    assert_eq!(quoted.source.as_deref(), Some("a,\"b"));
}

#[test]
fn mounts_that_make_no_sense_are_refused() {
    let refused = |text: &str| parse_mount(text).unwrap_err().to_string();
    assert_eq!(refused("type=cache"), "mount target is required in 'type=cache'");
    assert_eq!(refused("type=bind,target=/a,size=1"), "size not allowed for \"bind\" type mounts");
    assert_eq!(refused("target"), "invalid field 'target' must be a key=value pair");
    assert_eq!(refused("type=cache,target=/a,mode=9"), "invalid value 9 for mode");
    assert_eq!(refused("type=tmpfs,target=/a,size=x"), "invalid value for size: x");
    assert_eq!(refused("type=secret"), "secret mount needs one of id, source or target");
    assert_eq!(
        refused("target=/a,ro=x"),
        "invalid value for ro: x: expected true or false".replace("for ro", "for readonly")
    );
    assert!(refused("\"target=/a").contains("does not end"));
}

#[test]
fn mounts_with_variables_are_read_again() {
    let mount = run("RUN --mount=type=$T,target=/a,size=$S b").mounts.remove(0);
    assert_eq!(mount.size, None);
    let expand = |text: &str, value: &str| {
        let mut expand = |word: &str| Ok(word.replace("$V", value).replace("$T", "tmpfs"));
        expand_mount::<MountError>(text, &mut expand)
    };
    let mount = expand(&mount.text.replace("$S", "$V"), "1k").unwrap();
    assert_eq!((mount.kind, mount.size), (MountKind::Tmpfs, Some(1024)));
    let id = expand("type=cache,target=/$V,id=$V", "a,uid=5").unwrap();
    assert_eq!(
        (id.target.as_deref(), id.id.as_deref(), id.uid),
        (Some("/a,uid=5"), Some("a,uid=5"), None)
    );
    let refused = |text: &str, value: &str| expand(text, value).unwrap_err().to_string();
    assert_eq!(
        refused("type=$V,target=/a", "cahce"),
        "unsupported mount type \"cahce\" (did you mean cache?)"
    );
    assert_eq!(refused("type=$T,target=/a,uid=1", ""), "uid not allowed for \"tmpfs\" type mounts");
    assert_eq!(refused("type=$T,target=$V", ""), "mount target is required in 'type=$T,target=$V'");
    assert_eq!(refused("type=cache,target=/a,mode=$V", "$x"), "invalid value $x for mode");
}

#[test]
fn health_is_checked_in_times() {
    let check = one(
        "HEALTHCHECK --interval=5m --timeout=3s --start-period=0s --start-interval=1s --retries=3 CMD [\"a\"]",
    );
    assert_eq!(
        check,
        Instruction::Healthcheck(Healthcheck::Command {
            command: Command::Exec(strings(&["a"])),
            interval: 300_000_000_000,
            timeout: 3_000_000_000,
            start_period: 0,
            start_interval: 1_000_000_000,
            retries: 3,
        })
    );
    for none in ["HEALTHCHECK none", "HEALTHCHECK --interval=5m --retries=x NONE"] {
        assert_eq!(one(none), Instruction::Healthcheck(Healthcheck::None));
    }
    assert_eq!(
        refused("HEALTHCHECK --interval=1us CMD a"),
        "flag --interval: 1us cannot be less than 1ms"
    );
    assert_eq!(refused("HEALTHCHECK --timeout=x CMD a"), "flag --timeout: invalid duration \"x\"");
    assert_eq!(refused("HEALTHCHECK --retries=-1 CMD a"), "--retries cannot be negative (-1)");
    assert_eq!(refused("HEALTHCHECK NONE a"), "HEALTHCHECK NONE takes no arguments");
    assert_eq!(refused("HEALTHCHECK CMD"), "missing command after HEALTHCHECK CMD");
    assert_eq!(refused("HEALTHCHECK a"), "unknown type \"a\" in HEALTHCHECK (try CMD)");
}

#[test]
fn the_rest_is_words() {
    assert_eq!(one("EXPOSE 80 443/tcp $P"), Instruction::Expose(strings(&["80", "443/tcp", "$P"])));
    assert_eq!(one("VOLUME /a /b"), Instruction::Volume(strings(&["/a", "/b"])));
    assert_eq!(one("VOLUME [\"/a b\"]"), Instruction::Volume(strings(&["/a b"])));
    assert_eq!(refused("VOLUME [\"\"]"), "VOLUME specified can not be an empty string");
    assert_eq!(one("WORKDIR /a b"), Instruction::Workdir("/a b".to_owned()));
    assert_eq!(one("user a:b"), Instruction::User("a:b".to_owned()));
    assert_eq!(one("STOPSIGNAL 9"), Instruction::Stopsignal("9".to_owned()));
    assert_eq!(one("MAINTAINER a <b>"), Instruction::Maintainer("a <b>".to_owned()));
}

#[test]
fn triggers_are_checked_when_they_are_written() {
    assert_eq!(one("ONBUILD RUN a \\\n b"), Instruction::Onbuild("RUN a  b".to_owned()));
    assert_eq!(refused("ONBUILD"), "ONBUILD requires at least one argument");
    assert_eq!(
        refused("ONBUILD ONBUILD RUN a"),
        "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
    );
    assert_eq!(refused("ONBUILD from a"), "FROM isn't allowed as an ONBUILD trigger");
    assert_eq!(refused("ONBUILD maintainer a"), "MAINTAINER isn't allowed as an ONBUILD trigger");
    assert_eq!(refused("ONBUILD RUNN a"), "unknown instruction: RUNN (did you mean RUN?)");
    let Instruction::Onbuild(text) = one("ONBUILD COPY <<a <<b /c/\n1\na\n2\nb") else { panic!() };
    let trigger = parse_trigger(&text).unwrap();
    let Instruction::Copy(copy) = trigger.value else { panic!() };
    assert_eq!(copy.heredocs[1].content, "2\n");
    assert_eq!(trigger.text, "COPY <<a <<b /c/");
    for bad in ["FROM a", "ONBUILD RUN a", "RUN a\nRUN b", "", "RUNN"] {
        assert!(parse_trigger(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let long = format!("FROM a\nRUN {}\n", "x".repeat(70_000));
    assert!(wrong(&long).ends_with("dockerfile line greater than maximum allowed size of 65535"));
    assert!(wrong(&"FROM a\n".repeat(1_001)).ends_with("a Dockerfile has 1000 stages at most"));
    assert!(wrong(&"RUN a\n".repeat(20_001)).contains("more than 20000 instructions"));
    assert!(wrong(&"\n".repeat(17 << 20)).contains("larger than 16 MiB"));
    let many = format!("FROM a\nCOPY {} /x\n", "<<a \\\n".repeat(20_000));
    assert!(wrong(&many).contains("unterminated heredoc"));
    assert_eq!(shell(&format!("RUN {}", "[".repeat(60_000))).len(), 60_000);
    let joined = format!("RUN {}y", format!("{}\\\n", "x".repeat(1000)).repeat(5_000));
    assert_eq!(shell(&joined).len(), 5_000_001);
}

#[test]
fn comments_before_a_definition_describe_it() {
    let file =
        read("# V which one\nARG V\n\n# more\n# made all of it\nFROM a AS made\n# V\nARG V\n");
    assert_eq!(file.description(2, "V"), "which one");
    assert_eq!(file.description(6, "made"), "all of it");
    assert_eq!(file.description(6, "all"), "");
    assert_eq!(file.description(8, "V"), "");
    assert_eq!(file.description(6, ""), "");
}
