//! `COPY --link`: a layer that knows nothing of what it is put on.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{Workshop, workshop};
use crate::BuildRequest;
use crate::event::{Event, Outcome};
use barge_types::ImageId;

/// Builds with another base, and says how the last step ended.
fn on_base(workshop: &Workshop, request: &mut BuildRequest, turn: &str) -> (ImageId, Outcome) {
    request.build_args.insert("TURN".to_owned(), Some(turn.to_owned()));
    workshop.events.take();
    let image = workshop.image(request);
    let ended = workshop.events.take().into_iter().rev().find_map(|event| {
        if let Event::Ended { outcome, .. } = event { Some(outcome) } else { None }
    });
    (image, ended.unwrap())
}

fn last_layer(workshop: &Workshop, image: &ImageId) -> String {
    workshop.config(image).rootfs.diff_ids.pop().unwrap()
}

#[test]
fn another_base_takes_the_layer_as_it_is() {
    let workshop = workshop();
    for text in [
        "FROM busybox\nARG TURN\nRUN echo $TURN >/turn\nCOPY --link f /new/f\n",
        "FROM busybox AS made\nRUN echo made >/f && chmod 640 /f\nFROM busybox\nARG TURN\nRUN echo $TURN >/turn\n\
         COPY --link --from=made /f /new/f\n",
        "FROM busybox\nARG TURN\nRUN echo $TURN >/turn\nADD --link --chmod=600 f /new/f\n",
    ] {
        let mut request = workshop.request_with(text, &[("f", "made\n")]);
        let (one, ended) = on_base(&workshop, &mut request, "1");
        assert_eq!(ended, Outcome::Done);
        let (two, ended) = on_base(&workshop, &mut request, "2");
        assert_eq!(ended, Outcome::Cached, "{text}");
        assert_eq!(last_layer(&workshop, &one), last_layer(&workshop, &two));
        for (image, turn) in [(&one, "1\n"), (&two, "2\n")] {
            assert_eq!(workshop.text(image, "turn"), turn);
            assert_eq!(workshop.text(image, "new/f"), "made\n");
        }
        // On the same base nothing is made at all.
        let before = workshop.builder.entries().len();
        assert_eq!(on_base(&workshop, &mut request, "2"), (two, Outcome::Cached));
        assert_eq!(workshop.builder.entries().len(), before);
        request.cache.is_off = true;
        assert_eq!(on_base(&workshop, &mut request, "2").1, Outcome::Done);
    }
    assert!(workshop.leftovers().is_empty());
}

#[test]
fn other_files_are_another_layer() {
    let workshop = workshop();
    let text = "FROM busybox\nCOPY --link f /f\n";
    let one = workshop.image(&workshop.request_with(text, &[("f", "one")]));
    let two = workshop.image(&workshop.request_with(text, &[("f", "two")]));
    assert_eq!(workshop.text(&one, "f"), "one");
    assert_eq!(workshop.text(&two, "f"), "two");
    let request = workshop.request_with("FROM busybox\nCOPY --link --chown=7 f /f\n", &[]);
    let owned = workshop.image(&request);
    assert_eq!(workshop.look(&owned, |root| root.join("f").metadata().unwrap().uid()), 7);
}

#[test]
fn what_is_below_has_no_say() {
    let workshop = workshop();
    let text = "FROM busybox\nRUN mkdir /elsewhere /strict /full && ln -s /elsewhere /link && chmod 700 /strict && \
                echo x >/full/x && echo file >/file\n\
                COPY --link f /link/f\nCOPY --link f /strict/f\nCOPY --link f /full\nCOPY --link f /file/f\n";
    let image = workshop.image(&workshop.request_with(text, &[("f", "made\n")]));
    workshop.look(&image, |root| {
        let mode = |name: &str| root.join(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert!(root.join("link").symlink_metadata().unwrap().is_dir(), "a link is replaced");
        assert!(!root.join("elsewhere/f").exists());
        assert_eq!(mode("strict"), 0o755, "a folder on the way is one of the layer's own");
        assert!(root.join("full").is_file(), "without a slash it is a file");
        assert!(root.join("file/f").is_file());
    });
}

#[test]
fn names_of_owners_are_those_of_the_stage() {
    let workshop = workshop();
    let text = "FROM busybox\nRUN mkdir -p /etc && echo 'jane:x:1000:1001::/:' >/etc/passwd\n\
                COPY --link --chown=jane f /f\n";
    let image = workshop.image(&workshop.request_with(text, &[("f", "made\n")]));
    let owner = workshop.look(&image, |root| {
        let stat = root.join("f").metadata().unwrap();
        (stat.uid(), stat.gid())
    });
    assert_eq!(owner, (1000, 1001));
    let history = workshop.config(&image).history.pop().unwrap().created_by;
    assert!(history.contains("--chown=jane"), "{history}");
}
