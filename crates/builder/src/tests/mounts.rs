//! `RUN --mount`.

use std::fs;

use super::workshop;
use crate::request::Secret;

#[test]
fn a_cache_mount_outlives_its_build_and_is_in_no_image() {
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM busybox\nARG TURN\nRUN --mount=type=cache,target=/c,uid=5,mode=0700 echo $TURN >>/c/log && cat /c/log >/log\n",
    );
    for (turn, log) in [("1", "1\n"), ("2", "1\n2\n")] {
        request.build_args.insert("TURN".to_owned(), Some(turn.to_owned()));
        let image = workshop.image(&request);
        assert_eq!(workshop.text(&image, "log"), log);
        assert!(!workshop.look(&image, |root| root.join("c").exists()));
    }
    let kinds: Vec<_> = workshop.builder.entries().iter().map(|entry| entry.kind).collect();
    assert!(kinds.contains(&"exec.cachemount"), "{kinds:?}");
}

#[test]
fn a_secret_is_seen_by_the_step_and_by_nothing_else() {
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM busybox\nRUN --mount=type=secret,id=key,required=true --mount=type=secret,id=key,env=KEY cat \
         /run/secrets/key && echo $KEY && echo done >/done\n",
    );
    let missing = workshop.build(&request).unwrap_err();
    assert_eq!(missing.cause().to_string(), "secret key: not found");
    request.secrets.insert("key".to_owned(), Secret(b"hidden-word\n".to_vec()));
    let image = workshop.image(&request);
    assert!(workshop.events.output().contains("hidden-word"));
    assert!(!workshop.look(&image, |root| root.join("run").exists()));
    // Another value is the same step.
    workshop.runs();
    request.secrets.insert("key".to_owned(), Secret(b"other".to_vec()));
    workshop.image(&request);
    assert_eq!(workshop.runs(), 0);
    let found = files_with(workshop.root.path(), "hidden-word");
    assert!(found.is_empty(), "{found:?}");
    assert!(workshop.leftovers().is_empty());
}

fn files_with(folder: &std::path::Path, word: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&entry.path(), word));
        } else if kind.is_file() {
            let bytes = fs::read(entry.path()).unwrap();
            if String::from_utf8_lossy(&bytes).contains(word) {
                found.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn files_of_a_stage_can_be_mounted_and_written_to_without_effect() {
    let workshop = workshop();
    let request = workshop.request(
        "FROM busybox AS made\nRUN mkdir /d && echo a >/d/a\nFROM busybox\nRUN --mount=from=made,source=/d,target=/m,rw \
         cat /m/a >/seen && echo x >/m/x\nRUN --mount=from=made,source=/d,target=/m ls /m >/list\n\
         RUN --mount=from=made,source=d/a,target=/file cat /file >/from-file\n",
    );
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "seen"), "a\n");
    assert_eq!(workshop.text(&image, "list"), "a\n");
    assert_eq!(workshop.text(&image, "from-file"), "a\n");
    assert!(!workshop.look(&image, |root| root.join("m").exists() || root.join("file").exists()));
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn a_mount_may_be_below_another_one() {
    let workshop = workshop();
    let request = workshop.request(
        "FROM busybox AS made\nRUN mkdir /d && echo a >/d/a\nFROM busybox\n\
         RUN --mount=type=cache,target=/m/deep/cache --mount=from=made,source=/d,target=/m cat /m/a && \
         echo c >/m/deep/cache/c && cat /m/deep/cache/c >/seen\n",
    );
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "seen"), "c\n");
}

#[test]
fn a_script_with_an_interpreter_of_its_own_is_a_file() {
    let workshop = workshop();
    let image = workshop.image(&workshop.request(
        "FROM busybox\nRUN <<EOF\n#!/bin/busybox sh\necho \"$0\" >/name\nEOF\nRUN <<EOF\necho one >/a\necho two >>/a\nEOF\n",
    ));
    assert_eq!(workshop.text(&image, "name"), "/dev/pipes/EOF\n");
    assert_eq!(workshop.text(&image, "a"), "one\ntwo\n");
}

#[test]
fn every_value_of_a_mount_may_have_variables() {
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM busybox\nARG KIND\nARG AT=/there\nENV OWNER=7\nARG MUST=true\n\
         RUN --mount=type=$KIND,target=${AT}/deep,uid=$OWNER,mode=0${OWNER}50,id=$KIND-x,sharing=${S:-locked} \
         ls -ldn /there/deep >/seen\n\
         RUN --mount=type=secret,id=key,required=$MUST true\n",
    );
    request.secrets.insert("key".to_owned(), Secret(b"hidden".to_vec()));
    request.build_args.insert("KIND".to_owned(), Some("cache".to_owned()));
    let image = workshop.image(&request);
    let seen = workshop.text(&image, "seen");
    assert!(seen.starts_with("drwxr-x---") && seen.contains(" 7 "), "{seen}");
    request.secrets.clear();
    request.cache.is_off = true;
    let missing = workshop.build(&request).unwrap_err();
    assert_eq!(missing.cause().to_string(), "secret key: not found");
    for (kind, message) in [
        ("cahce", "unsupported mount type \"cahce\" (did you mean cache?)"),
        ("tmpfs", "uid not allowed for \"tmpfs\" type mounts"),
    ] {
        request.build_args.insert("KIND".to_owned(), Some(kind.to_owned()));
        let error = workshop.build(&request).unwrap_err();
        assert_eq!(error.cause().to_string(), message);
        assert!(error.excerpt().contains(">>> RUN"), "{}", error.excerpt());
    }
}

#[test]
fn a_step_whose_result_is_there_asks_for_no_secret() {
    let workshop = workshop();
    let socket = workshop.root.path().join("agent");
    let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut request = workshop.request(
        "FROM busybox\nRUN --mount=type=secret,id=key,required --mount=type=ssh,required --mount=type=ssh,id=two \
         ls /run/buildkit >/seen\n",
    );
    request.secrets.insert("key".to_owned(), Secret(b"hidden".to_vec()));
    request.ssh.insert("default".to_owned(), socket.clone());
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "seen"), "ssh_agent.0\n");
    assert_eq!(workshop.runs(), 1);
    request.secrets.clear();
    request.ssh.clear();
    assert_eq!(workshop.image(&request), image);
    assert_eq!(workshop.runs(), 0);
    request.cache.is_off = true;
    let missing = workshop.build(&request).unwrap_err();
    assert_eq!(missing.cause().to_string(), "secret key: not found");
    request.secrets.insert("key".to_owned(), Secret(b"hidden".to_vec()));
    let missing = workshop.build(&request).unwrap_err();
    assert_eq!(missing.cause().to_string(), "unset ssh forward key default");
    assert_eq!(workshop.runs(), 0);
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn a_secret_may_be_named_by_its_source() {
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM busybox\nRUN --mount=type=secret,source=key,target=/k cat /k >/by-source\n\
         RUN --mount=type=secret,src=other,id=key cat /run/secrets/other >/first\n\
         RUN --mount=type=secret,target=/deep/key cat /deep/key >/by-target\n",
    );
    request.secrets.insert("key".to_owned(), Secret(b"of key".to_vec()));
    request.secrets.insert("other".to_owned(), Secret(b"of other".to_vec()));
    let image = workshop.image(&request);
    for (name, text) in [("by-source", "of key"), ("first", "of other"), ("by-target", "of key")] {
        assert_eq!(workshop.text(&image, name), text);
    }
}

#[test]
fn an_agent_has_the_owner_and_mode_of_its_mount() {
    let workshop = workshop();
    let socket = workshop.root.path().join("agent");
    let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let mut request = workshop.request(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t --mount=type=ssh,required ls -ln /run/buildkit/ssh_agent.0 >/usual\n\
         RUN --mount=type=ssh,uid=5,gid=6,mode=0640,target=/agent,required ls -ln /agent >/asked\n",
    );
    let missing = workshop.build(&request).unwrap_err();
    assert!(missing.chain().contains("unset ssh forward key default"), "{}", missing.chain());
    request.ssh.insert("default".to_owned(), socket.clone());
    let image = workshop.image(&request);
    let words = |name: &str| {
        let line = workshop.text(&image, name);
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        format!("{} {} {}", words[0], words[2], words[3])
    };
    assert_eq!(words("usual"), "srw------- 0 0");
    assert_eq!(words("asked"), "srw-r----- 5 6");
    assert!(!workshop.look(&image, |root| root.join("agent").exists()));
    assert!(workshop.leftovers().is_empty());
    // One that is gone is named before the step begins.
    fs::remove_file(&socket).unwrap();
    request.cache.is_off = true;
    let gone = workshop.build(&request).unwrap_err().chain();
    assert!(gone.starts_with("cannot reach the SSH agent"), "{gone}");
}
