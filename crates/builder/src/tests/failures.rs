//! What goes wrong says where, and leaves nothing.

use super::workshop;
use crate::BuildError;
use crate::event::Event;
use crate::request::OnFailure;
use crate::runner::Cancel;

#[test]
fn a_failed_step_says_its_line_and_its_code() {
    let workshop = workshop();
    let before = workshop.driver.list().unwrap().len();
    let request = workshop.request("FROM busybox\nRUN echo before; exit 7\n");
    let error = workshop.build(&request).unwrap_err();
    assert_eq!(
        error.chain(),
        "process \"/bin/sh -c echo before; exit 7\" did not complete successfully: exit code: 7"
    );
    assert!(error.excerpt().contains("   2 | >>> RUN echo before; exit 7"), "{}", error.excerpt());
    assert_eq!(workshop.events.output(), "before\n");
    assert_eq!(workshop.driver.list().unwrap().len(), before);
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn a_failed_step_can_be_kept_as_an_image() {
    let workshop = workshop();
    let mut request = workshop.request("FROM busybox\nENV A=1\nRUN echo left >/left; exit 1\n");
    request.on_failure = OnFailure::KeepImage;
    workshop.build(&request).unwrap_err();
    let events = workshop.events.take();
    let Some(Event::Failed { image: Some(image), .. }) = events.last() else {
        panic!("{events:?}");
    };
    let image = workshop.images.get(image).unwrap().id;
    assert_eq!(workshop.text(&image, "left"), "left\n");
    assert!(workshop.inner(&image).env.contains(&"A=1".to_owned()));
}

#[test]
fn a_cancelled_build_ends_its_step_and_leaves_nothing() {
    let workshop = workshop();
    let before = workshop.driver.list().unwrap().len();
    let request = workshop.request("FROM busybox\nRUN while true; do sleep 0.01; done\n");
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let build = scope.spawn(|| workshop.builder.build(&request, &workshop.events, &cancel));
        while workshop.runner.steps.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        cancel.cancel();
        assert!(matches!(build.join().unwrap(), Err(BuildError::Cancelled)));
    });
    assert_eq!(workshop.driver.list().unwrap().len(), before);
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn what_a_killed_daemon_left_is_swept() {
    let workshop = workshop();
    let root = workshop.root.path().to_owned();
    for name in ["builds/tmp/x/y", "builds/contexts/x", "memory/x/.tmp-1"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    crate::memory::Memory::create(&root.join("memory/x")).map(std::mem::ManuallyDrop::new).unwrap();
    let id = barge_storage::LayerId::random().unwrap();
    workshop.driver.create_read_write(&id, None, &Default::default()).unwrap();
    let workshop = workshop.reopen();
    assert!(!workshop.driver.exists(&id));
    assert!(workshop.leftovers().is_empty(), "{:?}", workshop.leftovers());
    assert_eq!(std::fs::read_dir(root.join("builds/contexts")).unwrap().count(), 0);
}

#[test]
fn names_that_lead_nowhere_say_so() {
    let workshop = workshop();
    for (dockerfile, text) in [
        ("FROM $X\n", "base name ($X) should not be blank"),
        ("FROM busybox\nCOPY --from=7 a b\n", "invalid stage index 7"),
        ("FROM busybox AS builder\nFROM buildr\n", "(did you mean stage \"builder\"?)"),
        (
            "FROM late\nFROM busybox AS late\nFROM scratch\nCOPY --from=0 / /\n",
            "image late (stage \"late\" is defined later, on line 2)",
        ),
        ("FROM busybox\nRUN --security=insecure true\n", "security.insecure is not allowed"),
        ("FROM busybox\nRUN --network=host true\n", "network.host is not allowed"),
        ("FROM busybox\nSTOPSIGNAL SIGNOTHING\n", "Invalid signal: SIGNOTHING"),
        ("FROM busybox\nEXPOSE ssh\n", "invalid containerPort: ssh"),
    ] {
        let error = workshop.build(&workshop.request(dockerfile)).unwrap_err().chain();
        assert!(error.contains(text), "{dockerfile}: {error}");
    }
}

#[test]
fn nothing_runs_before_all_images_are_known_to_be_there() {
    let workshop = workshop();
    for text in [
        "FROM busybox\nRUN echo >/a\nCOPY --from=buildr /a /b\n",
        "FROM busybox\nRUN echo >/a\nRUN --mount=from=buildr,target=/m true\n",
        "FROM busybox AS one\nRUN echo >/a\nFROM buildr\nCOPY --from=one /a /b\n",
    ] {
        let text = format!("FROM busybox AS builder\nRUN echo >/a\n{text}");
        let error = workshop.build(&workshop.request(&text)).unwrap_err();
        let message = error.chain();
        assert!(
            message.contains("cannot get image buildr (did you mean stage \"builder\"?)"),
            "{message}"
        );
        assert!(error.excerpt().contains(">>>"), "{}", error.excerpt());
        assert_eq!(workshop.runs(), 0, "{text}");
        let events = workshop.events.take();
        let mut open = std::collections::BTreeSet::new();
        for event in &events {
            if let Event::Started { step } = event {
                assert!(open.insert(*step), "{events:?}");
            } else if let Event::Ended { step, .. } = event {
                assert!(open.remove(step), "{events:?}");
            }
        }
        assert!(open.is_empty(), "{events:?}");
    }
}

#[test]
fn what_no_variable_can_mend_is_told_before_the_first_step() {
    let workshop = workshop();
    let insecure = "security.insecure is not allowed: build with --allow security.insecure";
    let device = "device a/b=c is not allowed: build with --allow device=a/b=c";
    for (line, message) in [
        ("RUN --security=insecure true", insecure),
        ("RUN --device=a/b=c true", device),
        ("EXPOSE 80 \"ssh\"", "invalid containerPort: ssh"),
        ("STOPSIGNAL X", "Invalid signal: X"),
    ] {
        let text = format!("FROM busybox\nRUN true\n{line}\n");
        let error = workshop.build(&workshop.request(&text)).unwrap_err();
        assert_eq!(error.chain(), message);
        assert!(error.excerpt().contains(&format!("   3 | >>> {line}")), "{}", error.excerpt());
        assert_eq!(workshop.runs(), 0);
    }
    let text = "FROM busybox\nARG PORT=80\nEXPOSE $PORT\nSTOPSIGNAL ${S:-SIGINT}\n";
    workshop.image(&workshop.request(text));
    let text = "FROM busybox AS unneeded\nEXPOSE ssh\nFROM busybox\nRUN true\n";
    workshop.image(&workshop.request(text));
}

#[test]
fn a_check_finds_what_a_build_refuses_at_once() {
    let workshop = workshop();
    let refused = |text: &str, target: Option<&str>| {
        let mut request = workshop.request(text);
        request.purpose = crate::request::Purpose::Check;
        request.target = target.map(str::to_owned);
        workshop.build(&request).unwrap_err().chain()
    };
    let error = refused("FROM busybox AS first\n", Some("frist"));
    assert_eq!(error, "target stage \"frist\" could not be found (did you mean first?)");
    let error = refused("FROM busybox\nRUN true\nSTOPSIGNAL SIGNOTHING\n", None);
    assert_eq!(error, "Invalid signal: SIGNOTHING");
    let circle = "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n";
    assert!(refused(circle, None).contains("(a needs b, b needs a)"));
}

#[test]
fn checks_warn_and_fail_only_where_the_dockerfile_says_so() {
    let workshop = workshop();
    let text = "FROM busybox\nCMD echo hello\n";
    let mut request = workshop.request(text);
    request.purpose = crate::request::Purpose::Check;
    let built = workshop.build(&request).unwrap();
    assert!(built.images.is_empty());
    let rules: Vec<_> = built.warnings.iter().map(|warning| warning.rule.as_str()).collect();
    assert_eq!(rules, ["JSONArgsRecommended"]);
    let events = workshop.events.take();
    assert!(
        events.iter().any(|event| matches!(event, Event::Warning(warning) if warning.line == 2))
    );
    let request = workshop.request(&format!("# check=error=true\n{text}"));
    let error = workshop.build(&request).unwrap_err().to_string();
    assert_eq!(error, "lint violation found for rules: JSONArgsRecommended");
}

#[test]
fn a_changed_root_folder_is_warned_of_since_no_image_keeps_it() {
    let workshop = workshop();
    let warned = |command: &str| {
        workshop.image(&workshop.request(&format!("FROM busybox\nRUN {command}\n")));
        let events = workshop.events.take();
        let of_root = |event: &Event| matches!(event, Event::Warning(warning) if warning.rule == "RootFolderChanged");
        events.iter().any(of_root)
    };
    assert!(warned("chmod 711 /"));
    assert!(!warned("mkdir /new && chmod 711 /new"));
}
