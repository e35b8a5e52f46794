//! `COPY` and `ADD`, as far as the builder has a part in them.

use super::workshop;

#[test]
fn files_of_the_context_are_found_by_what_they_are() {
    let workshop = workshop();
    let dockerfile = "FROM busybox\nWORKDIR /w\nCOPY a sub ./\nRUN cat a b >/all\n";
    let files = [("a", "1"), ("sub/b", "2"), ("other", "3")];
    let request = workshop.request_with(dockerfile, &files);
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "all"), "12");
    assert_eq!(workshop.runs(), 1);
    // Neither other files nor times are of interest.
    let request = workshop.request_with(dockerfile, &[("a", "1"), ("other", "4")]);
    assert_eq!(workshop.image(&request), image);
    assert_eq!(workshop.runs(), 0);
    let request = workshop.request_with(dockerfile, &[("sub/b", "5")]);
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "all"), "15");
    assert_eq!(workshop.runs(), 1);
    let history = workshop.config(&image).history;
    assert!(history.iter().any(|line| line.created_by == "COPY a sub ./ # buildkit"));
}

#[test]
fn the_dockerfile_and_what_is_ignored_come_from_the_context() {
    let workshop = workshop();
    let files = [
        ("Dockerfile", "FROM scratch\nCOPY . /\n"),
        (".dockerignore", "secret\n"),
        ("secret", "x"),
        ("kept", "y"),
    ];
    let mut request = workshop.request_with("", &files);
    request.dockerfile = crate::request::DockerfileSource::default();
    let image = workshop.image(&request);
    let has = |name: &str| workshop.look(&image, |root| root.join(name).exists());
    assert!(has("kept") && has("Dockerfile") && !has("secret"));
    request.dockerfile = crate::request::DockerfileSource::InContext("none".to_owned());
    let error = workshop.build(&request).unwrap_err().to_string();
    assert_eq!(error, "failed to read dockerfile: open none: no such file or directory");
}

#[test]
fn a_copy_of_a_stage_that_was_made_anew_but_is_the_same_is_found() {
    let workshop = workshop();
    let dockerfile = |word: &str| {
        format!(
            "FROM busybox AS made\nRUN echo {word} >/log; echo same >/out; touch -d @1 /out\nFROM busybox\n\
             COPY --from=made /out /\nRUN cat /out\n"
        )
    };
    workshop.image(&workshop.request(&dockerfile("one")));
    assert_eq!(workshop.runs(), 2);
    workshop.image(&workshop.request(&dockerfile("two")));
    assert_eq!(workshop.runs(), 1);
    workshop.image(&workshop.request(&dockerfile("one")));
    assert_eq!(workshop.runs(), 0);
}

#[test]
fn documents_in_the_dockerfile_are_files() {
    let workshop = workshop();
    let image = workshop.image(&workshop.request(
        "FROM busybox\nENV A=1\nCOPY --chown=5:6 --chmod=600 <<one <<'two' /d/\na=$A\none\na=$A\ntwo\n",
    ));
    assert_eq!(workshop.text(&image, "d/one"), "a=1\n");
    assert_eq!(workshop.text(&image, "d/two"), "a=$A\n");
    workshop.look(&image, |root| {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = root.join("d/one").metadata().unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (5, 6, 0o600));
    });
}

#[test]
fn the_context_can_be_mounted_and_stays_as_it_is() {
    let workshop = workshop();
    let request = workshop.request_with(
        "FROM busybox\nRUN --mount=target=/m,rw cat /m/sub/f >/seen && echo x >/m/sub/f\n\
         RUN --mount=source=sub/f,target=/file cat /file >/again\n",
        &[("sub/f", "content")],
    );
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "seen"), "content");
    assert_eq!(workshop.text(&image, "again"), "content");
    let own = workshop.root.path().join("context/sub/f");
    assert_eq!(std::fs::read_to_string(own).unwrap(), "content");
}

#[test]
fn named_contexts_stand_for_images_stages_and_folders() {
    use crate::request::NamedContext;
    let workshop = workshop();
    let folder = workshop.root.path().join("named");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("f"), "folder").unwrap();
    let mut request = workshop.request(
        "FROM base AS other\nRUN echo stage >/s\nFROM base\nCOPY --from=folder f /f\nCOPY --from=alias s /s\n",
    );
    request.named_contexts.insert("base".into(), NamedContext::Image("busybox".into()));
    request.named_contexts.insert("folder".into(), NamedContext::Folder(folder));
    request.named_contexts.insert("alias".into(), NamedContext::Stage("other".into()));
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "f"), "folder");
    assert_eq!(workshop.text(&image, "s"), "stage\n");
}
