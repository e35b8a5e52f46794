//! Other images in a container whose ids are mapped.

use barge_testkit::Client;

use super::{ROOT, ids, remapped};
use crate::image_mounts::tools;

#[test]
fn a_mounted_image_has_the_owners_that_the_container_knows() {
    let mut host = remapped();
    tools(&host);
    let look = "stat -c %u:%g /image/tools/own /image; touch /image/new || echo kept";
    for client in Client::both() {
        for mode in [&[][..], &["--userns=host"]] {
            let words = ["run", "--rm", "--mount", "type=image,src=tools,dst=/image"];
            let words = [&words[..], mode, &["busybox", "sh", "-c", look]].concat();
            let seen = host.run(client, &words);
            assert_eq!(seen.text(), "7:8\n0:0\nkept", "{client:?} {mode:?} {seen}");
        }
    }
    // One image for both kinds at once, over a restart of the daemon, and read by its owner alone.
    let mount = "type=image,src=tools,dst=/image,image-subpath=tools";
    for (name, mode) in [("mapped", ""), ("hosts", "host")] {
        let mode = format!("--userns={mode}");
        let words = ["run", "-d", "--name", name, &mode, "--mount", mount, "busybox"];
        host.barge(&[&words[..], &["sleep", "1000"]].concat()).ok();
    }
    assert_eq!(
        (ids(host.pid("mapped"), "Uid:"), ids(host.pid("hosts"), "Uid:")),
        (vec![ROOT; 4], vec![0; 4])
    );
    host.kill9();
    host.start();
    for name in ["mapped", "hosts"] {
        let seen = host.barge(&["exec", "-u", "7", name, "stat", "-c", "%u:%g", "/image/own"]);
        assert_eq!(seen.text(), "7:8", "{name} {seen}");
        host.barge(&["restart", "-t", "0", name]).ok();
        let archive = host.barge(&["cp", &format!("{name}:/image/own"), "-"]).stdout;
        assert_eq!(&archive[108..115], "0000007", "{name}");
        host.barge(&["rm", "-f", name]).ok();
    }
    host.assert_nothing_of_containers();
}
