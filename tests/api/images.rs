//! Images through the API.

use barge_testkit::{ArchiveImage, Layout, Sharing, TarBuilder, busybox_tar};
use serde_json::{Value, json};

static HOST: Sharing = Sharing::new();

#[test]
fn an_import_tells_its_progress_and_what_was_made() {
    let host = HOST.host();
    let name = host.unique("imported");
    let path = format!("/images/create?fromSrc=-&repo={name}&tag=1&message=why&changes=CMD%20true");
    let tar = TarBuilder::new().file("x", 0o644, name.as_bytes()).finish();
    let reply = host.api().send("POST", &path, Some(("application/x-tar", &tar))).is(200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let text = reply.text();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let id = last["status"].as_str().unwrap();
    let image = host.api().get(&format!("/images/{name}:1/json")).is(200).json();
    assert_eq!((&image["Id"], &image["RepoTags"]), (&id.into(), &json!([format!("{name}:1")])));
    assert_eq!(image["Config"]["Cmd"], json!(["/bin/sh", "-c", "true"]));
    assert_eq!(image["Comment"], "why");
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    let history = host.api().get(&format!("/images/{name}:1/history")).is(200).json();
    assert_eq!(history[0]["Comment"], "why");
    let removed = host.api().delete(&format!("/images/{name}:1")).is(200).json();
    assert_eq!(
        removed,
        json!([{"Untagged": format!("{name}:1")}, {"Deleted": id}, {"Deleted": removed[2]["Deleted"]}])
    );
}

#[test]
fn a_load_tells_what_was_loaded_or_what_is_wrong() {
    let host = HOST.host();
    let image = ArchiveImage {
        name: format!("{}:1", host.unique("loaded")),
        layers: vec![busybox_tar().to_vec()],
        config: json!({"Cmd": ["true"]}),
    };
    let archive = image.save(Layout::Oci);
    let load = |bytes: &[u8]| {
        host.api().send("POST", "/images/load?quiet=1", Some(("application/x-tar", bytes)))
    };
    let reply = load(&archive).is(200);
    let told: Value = serde_json::from_str(reply.text().lines().last().unwrap()).unwrap();
    assert_eq!(told["stream"], format!("Loaded image: {}\n", image.name));
    let cut = load(&archive[..archive.len() / 2]);
    let text = cut.text();
    assert!(cut.status >= 400 || text.contains("errorDetail"), "{text}");
    host.api().delete(&format!("/images/{}", image.name)).is(200);
}
