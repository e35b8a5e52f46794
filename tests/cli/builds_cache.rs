//! Caches that are elsewhere, from the command line: what is written, how, and what of the words is refused.

use std::collections::BTreeSet;
use std::fs;

use barge_testkit::{Sharing, TestHost};

use super::registry::{self, Registry, Users};

static HOST: Sharing = Sharing::new();

const FILE: &str =
    "FROM busybox AS made\nRUN echo $RANDOM >/a\nFROM busybox\nCOPY --from=made /a /b/\n";

/// A folder with the Dockerfile, and a name for one that is not there yet.
fn folders(host: &TestHost) -> (String, String) {
    let folder = host.scratch().join(host.unique("context"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("Dockerfile"), FILE).unwrap();
    let cache = host.scratch().join(host.unique("cache"));
    (folder.to_str().unwrap().to_owned(), cache.to_str().unwrap().to_owned())
}

/// What all that a cache holds is packed with.
fn formats(cache: &str) -> BTreeSet<&'static str> {
    let format = |start: &[u8]| match start {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => "uncompressed",
    };
    let blobs = fs::read_dir(format!("{cache}/blobs")).unwrap();
    blobs.map(|blob| format(&fs::read(blob.unwrap().path()).unwrap())).collect()
}

#[test]
fn a_local_cache_is_compressed_as_asked_and_read_again() {
    let host = TestHost::new();
    host.busybox();
    for (words, format) in [
        ("", "gzip"),
        (",compression=gzip", "gzip"),
        (",compression=zstd", "zstd"),
        (",compression=uncompressed,force-compression=true", "uncompressed"),
    ] {
        let (folder, cache) = folders(&host);
        let to = format!("--cache-to=type=local,mode=max,dest={cache}{words}");
        host.barge(&["build", "-t", "cached", &to, &folder]).ok();
        assert_eq!(formats(&cache), [format].into(), "{words}");
        let made = host
            .barge(&["run", "--rm", "--network=none", "cached", "cat", "/b/a"])
            .text()
            .to_owned();
        host.barge(&["rmi", "cached"]).ok();
        host.barge(&["builder", "prune", "-af"]).ok();
        let from = format!("--cache-from=type=local,src={cache}");
        let again = host.barge(&["build", "--progress=plain", "-t", "cached", &from, &folder]);
        again.ok();
        assert_eq!(again.stderr.matches(" CACHED").count(), 2, "{}", again.stderr);
        let found = host
            .barge(&["run", "--rm", "--network=none", "cached", "cat", "/b/a"])
            .text()
            .to_owned();
        assert_eq!(found, made);
        host.barge(&["rmi", "cached"]).ok();
        host.barge(&["builder", "prune", "-af"]).ok();
    }
}

#[test]
fn the_least_cache_has_the_layers_of_the_result_alone() {
    let host = HOST.host();
    host.busybox();
    let (folder, cache) = folders(&host);
    for (words, mode) in [(",mode=min", "min"), ("", "usual"), (",mode=max", "max")] {
        let to = format!("--cache-to=type=local,dest={cache}-{mode}{words}");
        host.barge(&["build", "--network=none", &to, &folder]).ok();
    }
    let layers = |mode: &str| {
        let index = fs::read(format!("{cache}-{mode}/barge-cache.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        index["layers"].as_array().unwrap().len()
    };
    assert_eq!([layers("min"), layers("usual"), layers("max")], [1, 1, 2]);
}

#[test]
fn a_local_cache_that_is_not_there_yet_is_no_error() {
    let host = HOST.host();
    host.busybox();
    let (folder, cache) = folders(&host);
    let build = |words: &[&str]| {
        host.barge(&[&["build", "--progress=plain", "--network=none"], words, &[&folder]].concat())
    };
    let from = format!("--cache-from=type=local,src={cache}");
    let built = build(&[&from]);
    built.ok();
    let because = format!("WARNING: --cache-from: there is no folder {cache}: building without it");
    assert!(built.stderr.contains(&because), "{}", built.stderr);
    fs::create_dir_all(&cache).unwrap();
    let built = build(&[&from, &format!("--cache-to=type=local,dest={cache}")]);
    built.ok();
    for line in [
        "importing cache from client directory",
        "there is no barge-cache.json in it",
        "exporting cache to client directory",
        "writing layer sha256:",
    ] {
        assert!(built.stderr.contains(line), "{line}: {}", built.stderr);
    }
    let built = build(&[&from]);
    built.ok();
    assert!(!built.stderr.contains("WARNING"), "{}", built.stderr);
}

#[test]
fn words_without_an_effect_are_refused_by_name() {
    let host = HOST.host();
    host.busybox();
    let (folder, cache) = folders(&host);
    for (to, because) in [
        (
            format!("type=local,dest={cache},compression=estargz"),
            "compression=estargz is not supported",
        ),
        (
            format!("type=local,dest={cache},compression-level=3"),
            "compression-level=3 is not supported",
        ),
        (format!("type=local,dest={cache},mode=most"), "mode=most: min or max"),
        (
            "type=registry,ref=a/b,compression-level=3".to_owned(),
            "compression-level=3 is not supported",
        ),
        ("type=registry,ref=a/B".to_owned(), "must be lowercase"),
        ("type=inline,mode=max".to_owned(), "mode=max is not supported"),
    ] {
        let flag = format!("--cache-to={to}");
        host.barge(&["build", &flag, &folder]).fails_saying(1, because);
    }
}

const MOUNT: &str = "FROM busybox AS made\nRUN --mount=type=cache,target=/c echo $RANDOM >>/c/f && cat /c/f >/a\n\
                     FROM busybox\nCOPY --from=made /a /b/\nRUN echo end >/b/end\n";

/// Forgets all of a build but what is elsewhere.
fn forget(host: &TestHost) {
    host.barge(&["rmi", "cached"]).ok();
    host.barge(&["builder", "prune", "-af"]).ok();
}

#[test]
fn a_cache_in_a_registry_is_pushed_and_read_again() {
    if registry::there_is_no_registry() {
        return;
    }
    let host = registry::host();
    let _registry = Registry::start(&host, Users::Tester);
    let context = host.scratch().join("context");
    fs::create_dir_all(&context).unwrap();
    fs::write(context.join("Dockerfile"), MOUNT).unwrap();
    let context = context.to_str().unwrap();
    host.busybox();
    let name = "127.0.0.1:5000/team/cache";
    let build = |words: &[&str]| {
        host.barge(&[&["build", "--progress=plain", "-t", "cached"], words, &[context]].concat())
    };
    let to =
        |tag: &str, mode: &str| format!("--cache-to=type=registry,ref={name}:{tag},mode={mode}");
    let from = |tag: &str| format!("--cache-from=type=registry,ref={name}:{tag}");
    // Nobody may write there without a name.
    build(&[&to("max", "max")])
        .fails_saying(1, "cannot put the cache into 127.0.0.1:5000/team/cache:max");
    host.barge(&["login", "-u", "tester", "-p", "secret", Registry::NAME]).ok();
    build(&[&to("max", "max"), &to("min", "min")]).ok();
    let made = |path: &str| {
        host.barge(&["run", "--rm", "--network=none", "cached", "cat", path]).text().to_owned()
    };
    let number = made("/b/a");
    for (words, cached) in
        [(from("max"), 3), (format!("--cache-from={name}:max"), 3), (from("min"), 2)]
    {
        forget(&host);
        let again = build(&[&words]);
        again.ok();
        assert_eq!(again.stderr.matches(" CACHED").count(), cached, "{words}: {}", again.stderr);
        // The step of the stage that was left out is run again; what came of it then is what is copied.
        assert_eq!(made("/b/a"), number, "{words}");
    }
    // A changed step finds the cache mount as it was, unless the cache was to be the least.
    fs::write(format!("{context}/Dockerfile"), MOUNT.replace("cat /c/f", "cat  /c/f")).unwrap();
    forget(&host);
    build(&[&from("min")]).ok();
    assert_eq!(made("/b/a").lines().count(), 1);
    forget(&host);
    build(&[&from("max")]).ok();
    let numbers = made("/b/a");
    assert!(numbers.starts_with(&number) && numbers.len() > number.len(), "{numbers:?}");
    // Nothing there is no error, and a cache is no image.
    build(&[&from("none")]).ok();
    host.barge(&["pull", &format!("{name}:max")])
        .fails_saying(1, "it is not the configuration of an image");
}
