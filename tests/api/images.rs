//! Images through the API.

use barge_testkit::{ArchiveImage, Layout, Sharing, TarBuilder, TestHost, busybox_tar};
use serde_json::{Value, json};

use crate::registry::server::Registry;

static HOST: Sharing = Sharing::new();

fn encoded(filters: &Value) -> String {
    filters.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Imports an image of one small file and tells its id.
fn image(host: &TestHost, name: &str, label: &str) -> String {
    let path = format!("/images/create?fromSrc=-&repo={name}&changes=LABEL%20n%3D{label}");
    let tar = TarBuilder::new().file(label, 0o644, name.as_bytes()).finish();
    host.api().send("POST", &path, Some(("application/x-tar", &tar))).is(200);
    id(host, name)
}

fn id(host: &TestHost, name: &str) -> String {
    let image = host.api().get(&format!("/images/{name}/json")).is(200).json();
    image["Id"].as_str().unwrap().to_owned()
}

fn remove(host: &TestHost, what: &str) -> Value {
    host.api().delete(&format!("/images/{what}")).is(200).json()
}

fn refused(host: &TestHost, what: &str) -> String {
    host.api().delete(&format!("/images/{what}")).error(409)
}

/// Names that a list with these filters has, sorted.
fn listed(host: &TestHost, query: &str, filters: &Value) -> Vec<String> {
    let list = host.api().get(&format!("/images/json?{query}&filters={}", encoded(filters)));
    let list = list.is(200).json();
    let names = list.as_array().unwrap().iter().map(|image| {
        let name = image["RepoTags"][0].as_str().or(image["Id"].as_str());
        name.unwrap().to_owned()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn short(id: &str) -> &str {
    &id["sha256:".len()..][..12]
}

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

#[test]
fn lists_are_filtered_as_by_docker() {
    let host = TestHost::new();
    let [one, _two, three] = ["one", "two", "three"].map(|name| image(&host, name, name));
    host.barge(&["tag", "three", "user/three:x"]).ok();
    let with = |filters: Value| listed(&host, "", &filters);
    assert_eq!(with(json!({})), ["one:latest", "three:latest", "two:latest"]);
    assert_eq!(with(json!({"label": ["n=two"]})), ["two:latest"]);
    assert_eq!(with(json!({"label": ["n"]})).len(), 3);
    assert_eq!(with(json!({"label!": ["n=two"]})), ["one:latest", "three:latest"]);
    // Even of images that were made in the same second, and of several the narrowest counts.
    assert_eq!(with(json!({"before": ["two"]})), ["one:latest"]);
    assert_eq!(with(json!({"since": ["two"]})), ["three:latest"]);
    assert_eq!(with(json!({"since": ["one", "two"]})), ["three:latest"]);
    assert_eq!(with(json!({"since": ["one"], "before": ["three"]})), ["two:latest"]);
    assert_eq!(with(json!({"until": ["2001-01-01"]})), [""; 0]);
    assert_eq!(with(json!({"until": ["2999-01-01T10:00:00"]})).len(), 3);
    assert_eq!(with(json!({"until": ["0s"]})).len(), 3);
    // A pattern chooses images and which of their names are shown.
    assert_eq!(with(json!({"reference": ["t*"]})), ["three:latest", "two:latest"]);
    assert_eq!(with(json!({"reference": ["user/t[g-i]ree:?"]})), ["user/three:x"]);
    assert_eq!(with(json!({"dangling": ["true"]})), [""; 0]);
    host.barge(&["tag", "two", "one"]).ok();
    assert_eq!(with(json!({"dangling": ["true"]})), std::slice::from_ref(&one));
    assert_eq!(with(json!({"dangling": ["0"]})).len(), 2);
    assert_eq!(with(json!({"reference": ["*"]})).len(), 2);
    let wrong = |filters: Value, status: u16| {
        host.api().get(&format!("/images/json?filters={}", encoded(&filters))).error(status)
    };
    assert_eq!(wrong(json!({"bogus": ["x"]}), 400), "invalid filter 'bogus'");
    assert_eq!(wrong(json!({"dangling": ["maybe"]}), 400), "invalid filter 'dangling=[maybe]'");
    assert_eq!(wrong(json!({"before": ["nobody"]}), 404), "No such image: nobody:latest");
    assert!(wrong(json!({"reference": ["[a"]}), 400).contains("syntax error in pattern"));
    assert!(wrong(json!({"until": ["x"]}), 400).contains("failed to parse value as time"));
    // Older clients know an image without a name by another.
    let old = format!("/v1.41/images/json?filters={}", encoded(&json!({"dangling": ["1"]})));
    let old = host.api().get(&old).is(200).json();
    assert_eq!(old[0]["RepoTags"], json!(["<none>:<none>"]));
    assert_eq!(old[0]["VirtualSize"], old[0]["Size"]);
    // The beginning of an id is enough where it is one image's.
    assert_eq!(remove(&host, &format!("{}?force=1", short(&three)))[2], json!({"Deleted": three}));
}

#[test]
fn by_id_an_image_of_several_names_needs_force() {
    let host = &HOST.host();
    let name = host.unique("several");
    let id = image(host, &name, "x");
    host.barge(&["tag", &name, &format!("{name}:2")]).ok();
    let text = format!(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        short(&id)
    );
    assert_eq!(refused(host, &id), text);
    let removed = remove(host, &format!("{}?force=1", short(&id)));
    assert_eq!(
        removed.as_array().unwrap()[..3],
        [
            json!({"Untagged": format!("{name}:2")}),
            json!({"Untagged": format!("{name}:latest")}),
            json!({"Deleted": id}),
        ]
    );
    assert_eq!(removed.as_array().unwrap().len(), 4, "{removed}");
    let text = format!("No such image: {id}");
    assert_eq!(host.api().delete(&format!("/images/{id}")).error(404), text);
}

#[test]
fn images_of_containers_are_refused_in_dockers_words() {
    let host = &HOST.host();
    let name = host.unique("used");
    let rootfs = busybox_tar();
    let path = format!("/images/create?fromSrc=-&repo={name}&changes=LABEL%20own%3D{name}");
    host.api().send("POST", &path, Some(("application/x-tar", rootfs))).is(200);
    let image = id(host, &name);
    let container = host.unique("user");
    host.barge(&["run", "-d", "--name", &container, &name, "sleep", "1000"]).ok();
    let user = host.id(&container);
    let (image_short, user_short) = (short(&image), &user[..12]);
    let by_name = format!(
        "conflict: unable to remove repository reference \"{name}\" (must force) - container {user_short} is using its referenced image {image_short}"
    );
    let by_id = |force: &str, state: &str| {
        format!(
            "conflict: unable to delete {image_short} ({force}) - image is being used by {state} container {user_short}"
        )
    };
    assert_eq!(refused(host, &name), by_name);
    assert_eq!(refused(host, &image), by_id("cannot be forced", "running"));
    assert_eq!(refused(host, &format!("{image}?force=1")), by_id("cannot be forced", "running"));
    let untagged = json!([{"Untagged": format!("{name}:latest")}]);
    assert_eq!(remove(host, &format!("{name}?force=1")), untagged);
    host.barge(&["tag", &image, &name]).ok();
    host.barge(&["kill", &container]).ok();
    assert_eq!(refused(host, &name), by_name);
    assert_eq!(refused(host, &image), by_id("must be forced", "stopped"));
    // The layer stays for the container.
    let removed = json!([{"Untagged": format!("{name}:latest")}, {"Deleted": image}]);
    assert_eq!(remove(host, &format!("{name}?force=1")), removed);
    let shown =
        format!("/containers/json?all=1&filters={}", encoded(&json!({"name": [container]})));
    assert_eq!(host.api().get(&shown).is(200).json()[0]["Image"], image);
    host.barge(&["rm", &container]).ok();
}

#[test]
fn parents_are_hidden_and_go_with_their_last_child() {
    let host = TestHost::new();
    let base = image(&host, "base", "x");
    let commit = |on: &str, name: &str| {
        host.barge(&["create", "--name", "cc", on, "run-me"]).ok();
        host.barge(&["commit", "cc", name]).ok();
        host.barge(&["rm", "cc"]).ok();
        id(&host, name)
    };
    let middle = commit("base", "middle");
    let top = commit("middle", "top");
    let inspected = host.api().get("/images/top/json").is(200).json();
    assert_eq!(inspected["Parent"], middle);
    let text = |force: &str| refused(&host, &format!("{base}{force}"));
    let said = format!(
        "conflict: unable to delete {} (cannot be forced) - image has dependent child images",
        short(&base)
    );
    assert_eq!((text(""), text("?force=1")), (said.clone(), said));
    assert_eq!(remove(&host, "base"), json!([{"Untagged": "base:latest"}]));
    assert_eq!(remove(&host, "middle"), json!([{"Untagged": "middle:latest"}]));
    assert_eq!(listed(&host, "", &json!({})), ["top:latest"]);
    assert_eq!(listed(&host, "", &json!({"dangling": ["true"]})), [""; 0]);
    assert_eq!(listed(&host, "all=1", &json!({})).len(), 3);
    let list = host.api().get("/images/json?shared-size=1").is(200).json();
    assert_eq!((&list[0]["ParentId"], &list[0]["SharedSize"]), (&json!(middle), &json!(0)));
    let history = host.api().get("/images/top/history").is(200).json();
    let ids: Vec<&Value> = history.as_array().unwrap().iter().map(|step| &step["Id"]).collect();
    assert_eq!(ids, [&json!(top), &json!(middle), &json!(base)]);
    assert_eq!((&history[0]["Tags"], &history[1]["Tags"]), (&json!(["top:latest"]), &Value::Null));
    // They are parts of another image: no prune takes them.
    let pruned = host.api().post("/images/prune", Value::Null).is(200).json();
    assert_eq!(pruned, json!({"ImagesDeleted": null, "SpaceReclaimed": 0}));
    let kept = remove(&host, "top?noprune=1");
    assert_eq!(kept, json!([{"Untagged": "top:latest"}, {"Deleted": top}]));
    let pruned = host.api().post("/images/prune", Value::Null).is(200).json();
    let deleted = &pruned["ImagesDeleted"];
    assert_eq!(
        (&deleted[0], &deleted[1]),
        (&json!({"Deleted": middle}), &json!({"Deleted": base}))
    );
    assert_eq!(deleted.as_array().unwrap().len(), 3, "{pruned}");
    assert_eq!(pruned["SpaceReclaimed"], "base".len());
    assert_eq!(listed(&host, "all=1", &json!({})), [""; 0]);
}

#[test]
fn prunes_keep_what_is_used_and_what_the_filters_keep() {
    let host = TestHost::new();
    host.busybox();
    for name in ["one", "two", "three"] {
        image(&host, name, name);
    }
    host.barge(&["create", "--name", "user", "two", "x"]).ok();
    let prune = |filters: Value| {
        host.api().post(&format!("/images/prune?filters={}", encoded(&filters)), Value::Null)
    };
    let all =
        |key: &str, value: &str| prune(json!({"dangling": ["false"], key: [value]})).is(200).json();
    assert!(all("until", "2001-01-01")["ImagesDeleted"].is_null());
    assert!(all("label", "n=none")["ImagesDeleted"].is_null());
    assert_eq!(all("label", "n=one")["ImagesDeleted"][0], json!({"Untagged": "one:latest"}));
    assert!(prune(json!({})).is(200).json()["ImagesDeleted"].is_null());
    // `busybox` has no such label, `two` has a container.
    let rest = all("label!", "n=three");
    assert_eq!(rest["ImagesDeleted"][0], json!({"Untagged": "busybox:latest"}));
    assert_eq!(listed(&host, "", &json!({})), ["three:latest", "two:latest"]);
    assert_eq!(prune(json!({"bogus": ["x"]})).error(400), "invalid filter 'bogus'");
    let twice = json!({"until": ["1h", "2h"]});
    assert_eq!(prune(twice.clone()).error(400), "more than one until filter specified");
    let containers = |filters: &Value| {
        host.api().post(&format!("/containers/prune?filters={}", encoded(filters)), Value::Null)
    };
    assert_eq!(containers(&twice).error(400), "more than one until filter specified");
    assert!(containers(&json!({"until": ["1h"]})).is(200).json()["ContainersDeleted"].is_null());
    let id = host.id("user");
    assert_eq!(
        containers(&json!({"until": ["0s"]})).is(200).json()["ContainersDeleted"],
        json!([id])
    );
}

#[test]
fn what_happens_to_images_is_told_as_by_docker() {
    let host = TestHost::new();
    let made = image(&host, "told", "x");
    host.barge(&["tag", "told", "told:2"]).ok();
    host.barge(&["rmi", "told:2"]).ok();
    host.barge(&["rmi", "told"]).ok();
    host.api().post("/images/prune", Value::Null).is(200);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let path = format!("/events?since=1&until={}", now.as_secs() + 1);
    let told = host.api().get(&path).is(200).text();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let facts: Vec<(&str, &str, &str)> = told
        .iter()
        .filter(|event| event["Type"] == "image")
        .map(|event| {
            let actor = &event["Actor"];
            let name = actor["Attributes"]["name"].as_str().unwrap_or_default();
            (event["Action"].as_str().unwrap(), actor["ID"].as_str().unwrap_or_default(), name)
        })
        .collect();
    let id = made.as_str();
    assert_eq!(
        facts,
        [
            ("tag", id, "told:latest"),
            ("import", id, id),
            ("tag", id, "told:2"),
            ("untag", id, id),
            ("untag", id, id),
            ("delete", id, id),
            ("prune", "", ""),
        ]
    );
    assert_eq!(told[0]["Actor"]["Attributes"]["n"], "x");
    assert_eq!(told.last().unwrap()["Actor"]["Attributes"]["reclaimed"], "0");
}

#[test]
fn manifests_that_came_with_an_image_are_shown_to_those_who_ask() {
    let host = TestHost::new();
    host.busybox();
    let registry = Registry::start(&host);
    let name = format!("{}/kept:1", registry.name);
    host.barge(&["tag", "busybox", &name]).ok();
    host.barge(&["push", &name]).ok();
    let get = |path: &str| host.api().get(path).is(200).json();
    let manifests = get("/images/json?manifests=1")[0]["Manifests"].clone();
    let manifest = &manifests[0];
    assert_eq!((&manifest["Kind"], &manifest["Available"]), (&json!("image"), &json!(true)));
    assert_eq!(manifest["ImageData"]["Platform"]["os"], "linux");
    let size = get(&format!("/images/{name}/json"))["Size"].clone();
    assert_eq!(manifest["ImageData"]["Size"]["Unpacked"], size);
    let content = manifest["Size"]["Content"].as_i64().unwrap();
    assert_eq!(manifest["Size"]["Total"], content + size.as_i64().unwrap());
    assert_eq!(get(&format!("/images/{name}/json?manifests=1"))["Manifests"], manifests);
    for silent in ["/images/json", "/v1.46/images/json?manifests=1"] {
        assert!(get(silent)[0]["Manifests"].is_null());
    }
    assert!(get(&format!("/v1.47/images/{name}/json?manifests=1"))["Manifests"].is_null());
    let described = get(&format!("/images/{name}/json"));
    let digest = described["RepoDigests"][0].as_str().unwrap().rsplit_once('@').unwrap().1;
    assert_eq!(described["Descriptor"]["digest"], digest);
    assert_eq!(manifest["ID"], digest);
    // What was made here came with none.
    image(&host, "imported", "x");
    assert!(get("/images/imported/json?manifests=1")["Manifests"].is_null());
}

#[test]
fn an_import_says_where_it_came_from() {
    let host = HOST.host();
    let name = host.unique("silent");
    image(&host, &name, "x");
    let image = host.api().get(&format!("/images/{name}/json")).is(200).json();
    assert_eq!(image["Comment"], "Imported from -");
    host.barge(&["rmi", &name]).ok();
}
