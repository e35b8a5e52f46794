//! How the images of a build are asked for.

use std::collections::HashSet;
use std::sync::mpsc::channel;

use super::workshop;
use super::workshop::{Asked, PATIENCE};
use crate::event::{Event, Outcome};
use crate::execute::AT_ONCE;
use crate::runner::Cancel;

#[test]
fn a_few_ask_for_many_images_and_all_at_once() {
    let workshop = workshop();
    let names: Vec<String> = (0..3 * AT_ONCE).map(|number| format!("crowd-{number}")).collect();
    let lines: String =
        names.iter().map(|name| format!("COPY --from={name} /bin/busybox /{name}\n")).collect();
    workshop.image(&workshop.request(&format!("FROM scratch\n{lines}")));
    let asked = workshop.asked.lock().unwrap();
    assert_eq!(asked.len(), names.len());
    // Each waits until as many as may are at it.
    let threads: HashSet<_> = asked.iter().map(|asked| asked.thread).collect();
    assert_eq!(threads.len(), AT_ONCE, "{asked:?}");
}

#[test]
fn the_platforms_of_a_name_are_asked_for_one_after_the_other() {
    let workshop = workshop();
    let request = workshop.request(
        "FROM --platform=linux/s390x twins AS a\nFROM twins:latest AS b\nFROM --platform=linux/arm64 docker.io/library/twins AS c\n\
         FROM scratch\nCOPY --from=a / /a\nCOPY --from=b / /b\nCOPY --from=c / /c\n",
    );
    workshop.image(&request);
    let asked = workshop.asked.lock().unwrap();
    let platform =
        |asked: &Asked| asked.platform.as_ref().map_or_else(String::new, ToString::to_string);
    // Whoever names no platform is first: a pull for another one moves the name.
    let asked_for: Vec<_> = asked.iter().map(|asked| (&*asked.name, platform(asked))).collect();
    assert_eq!(
        asked_for,
        [
            ("twins:latest", String::new()),
            ("twins", "linux/s390x".into()),
            ("docker.io/library/twins", "linux/arm64".into())
        ]
    );
    let threads: HashSet<_> = asked.iter().map(|asked| asked.thread).collect();
    assert_eq!(threads.len(), 1);
}

#[test]
fn nobody_waits_for_whom_a_panic_ended() {
    let workshop = workshop();
    let request = workshop.request("FROM busybox AS a\nFROM broken\nCOPY --from=a / /\n");
    let cancel = Cancel::default();
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        let build = scope.spawn(|| {
            let tell = tell;
            let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                workshop.builder.build(&request, &workshop.events, &cancel)
            }));
            tell.send(()).unwrap();
            built
        });
        let ended = told.recv_timeout(PATIENCE);
        cancel.cancel();
        let is_built = build.join().unwrap().is_ok_and(|built| built.is_ok());
        ended.expect("the build ends by itself");
        assert!(!is_built);
    });
    let events = workshop.events.take();
    let is_told = |event: &Event| matches!(event, Event::Ended { outcome: Outcome::Failed(text), .. } if text.contains("image broken: "));
    assert!(events.iter().any(is_told), "{events:?}");
}
