//! What becomes of instructions.

use super::workshop;
use crate::{BuildError, BuildRequest};

#[test]
fn a_straight_line_becomes_an_image() {
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM busybox\nARG WHO=world\nENV GREETING=\"hello $WHO\"\nRUN echo $GREETING >/greeting\nWORKDIR /a/b\n\
         USER 1000:1000\nEXPOSE 80\nVOLUME /data\nLABEL a=b\nSTOPSIGNAL SIGQUIT\nCMD [\"cat\", \"/greeting\"]\n",
    );
    request.tags = vec!["made:1".parse().unwrap()];
    request.labels.insert("from".into(), "flag".into());
    let image = workshop.image(&request);
    assert_eq!(workshop.text(&image, "greeting"), "hello world\n");
    assert!(workshop.look(&image, |root| root.join("a/b").is_dir()));
    assert_eq!(workshop.images.get("made:1").unwrap().id, image);
    let inner = workshop.inner(&image);
    assert_eq!(inner.env[1..], ["GREETING=hello world"]);
    assert_eq!(inner.working_dir, "/a/b");
    assert_eq!(inner.user, "1000:1000");
    assert_eq!(inner.stop_signal, "SIGQUIT");
    assert_eq!(inner.cmd.unwrap(), ["cat", "/greeting"]);
    let labels: Vec<_> = inner.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(labels, [("a", "b"), ("from", "flag")]);
    let history = workshop.config(&image).history;
    let lines: Vec<_> = history.iter().map(|line| (&*line.created_by, line.empty_layer)).collect();
    assert_eq!(
        lines[1..],
        [
            ("ARG WHO=world", true),
            ("ENV GREETING=hello world", true),
            ("RUN |1 WHO=world /bin/sh -c echo $GREETING >/greeting # buildkit", false),
            ("WORKDIR /a/b", false),
            ("USER 1000:1000", true),
            ("EXPOSE map[80/tcp:{}]", true),
            ("VOLUME [/data]", true),
            ("LABEL a=b", true),
            ("STOPSIGNAL SIGQUIT", true),
            ("CMD [\"cat\" \"/greeting\"]", true),
        ]
    );
    assert!(workshop.leftovers().is_empty(), "{:?}", workshop.leftovers());
}

#[test]
fn a_step_leaves_no_mount_points_and_no_proxies() {
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/scratch echo $http_proxy && touch /scratch/x\n",
    );
    request.build_args.insert("http_proxy".into(), Some("http://proxy.example".into()));
    let image = workshop.image(&request);
    assert_eq!(workshop.events.output(), "http://proxy.example\n");
    assert!(!workshop.look(&image, |root| root.join("scratch").exists()));
    let config = serde_json::to_string(&workshop.config(&image)).unwrap();
    assert!(!config.contains("proxy.example"), "{config}");
    // Another proxy is the same step.
    workshop.runs();
    request.build_args.insert("http_proxy".into(), None);
    assert_eq!(workshop.image(&request), image);
    assert_eq!(workshop.runs(), 0);
}

#[test]
fn triggers_of_a_base_run_first_and_are_not_handed_on() {
    let workshop = workshop();
    let mut base = workshop.request("FROM busybox\nONBUILD RUN echo trigger >/trigger\n");
    base.tags = vec!["base".parse().unwrap()];
    let image = workshop.image(&base);
    assert_eq!(workshop.inner(&image).on_build, ["RUN echo trigger >/trigger"]);
    let image = workshop.image(&workshop.request("FROM base\nRUN cat /trigger >/seen\n"));
    assert_eq!(workshop.text(&image, "seen"), "trigger\n");
    assert!(workshop.inner(&image).on_build.is_empty());
}

#[test]
fn squashed_steps_are_one_layer() {
    let workshop = workshop();
    let mut request =
        workshop.request("FROM busybox\nRUN echo a >/a && echo b >/b\nRUN rm /a\nRUN echo c >/b\n");
    request.squash = true;
    let image = workshop.image(&request);
    assert_eq!(workshop.config(&image).rootfs.diff_ids.len(), 2);
    assert_eq!(workshop.text(&image, "b"), "c\n");
    assert!(!workshop.look(&image, |root| root.join("a").exists()));
}

#[test]
fn the_same_epoch_gives_the_same_image_without_any_cache() {
    let workshop = workshop();
    let mut request = workshop.request("FROM busybox\nRUN echo a >/a\nWORKDIR /w\nCMD a\n");
    request.epoch = Some(1_000_000_000);
    request.cache.is_off = true;
    let first = workshop.image(&request);
    assert_eq!(workshop.image(&request), first);
    assert_eq!(workshop.runs(), 2);
    assert_eq!(workshop.config(&first).created.unwrap(), "2001-09-09T01:46:40Z");
}

#[test]
fn files_can_be_fetched_and_go_with_the_result() {
    use crate::request::{Output, OutputKind};
    let workshop = workshop();
    let mut request = workshop
        .request("FROM busybox AS make\nRUN echo a >/out\nFROM scratch\nCOPY --from=make /out /\n");
    let kind = OutputKind::Files;
    request.outputs = vec![Output { kind, names: Vec::new(), options: Default::default() }];
    let built = workshop.build(&request).unwrap();
    assert!(built.images.is_empty());
    let bytes = std::fs::read(built.results[0].path()).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("out\0") && !text.contains("busybox"));
    drop(built);
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn an_archive_is_handed_out_and_leaves_no_image() {
    use crate::request::{Output, OutputKind};
    let workshop = workshop();
    let before = workshop.images.list().len();
    let mut request = workshop.request("FROM busybox\nRUN echo a >/a\n");
    request.tags = vec!["wanted:1".parse().unwrap()];
    let output = |kind| Output { kind, names: Vec::new(), options: Default::default() };
    request.outputs = vec![output(OutputKind::Docker), output(OutputKind::Oci)];
    let built = workshop.build(&request).unwrap();
    assert_eq!(workshop.images.list().len(), before);
    assert!(workshop.images.get("wanted:1").is_err());
    let archive = built.results[0].open().unwrap();
    workshop.images.load(&mut std::io::BufReader::new(archive), &mut |_| {}).unwrap();
    let image = workshop.images.get("wanted:1").unwrap().id;
    assert_eq!(workshop.text(&image, "a"), "a\n");
    let oci = std::fs::read(built.results[1].path()).unwrap();
    assert!(String::from_utf8_lossy(&oci).contains("oci-layout"));
}

#[test]
fn several_platforms_share_a_name() {
    let workshop = workshop();
    let mut request =
        workshop.request("FROM scratch\nARG TARGETPLATFORM\nCOPY <<f /\n$TARGETPLATFORM\nf\n");
    request.platforms = vec!["linux/s390x".parse().unwrap(), "linux/amd64".parse().unwrap()];
    request.tags = vec!["many:1".parse().unwrap()];
    let built = workshop.build(&request).unwrap();
    let texts: Vec<_> = built.images.iter().map(|image| workshop.text(image, "f")).collect();
    assert_eq!(texts, ["linux/s390x\n", "linux/amd64\n"]);
    let name = "many:1".parse().unwrap();
    assert_eq!(workshop.images.platforms(&name).len(), 2);
}

#[test]
fn files_of_several_platforms_go_into_folders_or_together() {
    use crate::request::{Output, OutputKind};
    let workshop = workshop();
    let mut request = workshop.request(
        "FROM scratch\nARG TARGETARCH\nCOPY <<f /$TARGETARCH\nof $TARGETARCH\nf\nCOPY <<g /same\nx\ng\n",
    );
    let options = |split: &str| [("platform-split".to_owned(), split.to_owned())].into();
    let output = |options| Output { kind: OutputKind::Files, names: Vec::new(), options };
    request.platforms = vec!["linux/s390x".parse().unwrap(), "linux/amd64".parse().unwrap()];
    let names = |request: &BuildRequest| {
        let built = workshop.build(request)?;
        let mut reader = barge_archive::tar::Reader::new(built.results[0].open().unwrap());
        let mut names = Vec::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            names.push(String::from_utf8(entry.header().path.clone()).unwrap());
        }
        Ok::<_, BuildError>(names.join(" "))
    };
    request.outputs = vec![output(Default::default())];
    assert_eq!(
        names(&request).unwrap(),
        "linux_s390x/ linux_s390x/s390x linux_s390x/same linux_amd64/ linux_amd64/amd64 linux_amd64/same"
    );
    request.outputs = vec![output(options("false"))];
    let error = names(&request).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot overwrite same from linux_s390x with linux_amd64"),
        "{error}"
    );
    request.platforms.pop();
    assert_eq!(names(&request).unwrap(), "s390x same");
    request.outputs = vec![output(options("true"))];
    assert_eq!(names(&request).unwrap(), "linux_s390x/ linux_s390x/s390x linux_s390x/same");
    assert!(workshop.leftovers().is_empty());
}
