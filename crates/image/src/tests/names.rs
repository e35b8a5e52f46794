//! What people call images.

use super::archives::tar;
use super::*;

fn two(ground: &Ground) -> (ImageId, ImageId) {
    (ground.import(tar(&[("a", b"1")]), "box:1"), ground.import(tar(&[("a", b"2")]), "me/box"))
}

#[test]
fn names_ids_and_short_ids_find_an_image() {
    let ground = ground();
    let (one, two) = two(&ground);
    let hex = one.digest().hex();
    for name in [
        "box:1",
        "docker.io/library/box:1",
        &hex,
        &hex[..12],
        &hex[..20],
        &one.to_string(),
        &format!("sha256:{}", &hex[..9]),
    ] {
        assert_eq!(ground.store.get(name).unwrap().id, one, "{name}");
    }
    assert_eq!(ground.store.get("me/box").unwrap().id, two);
    assert_eq!(ground.store.resolve(&hex[..12]).unwrap(), Found::ById(one));
    assert_eq!(ground.store.resolve("box:1").unwrap(), Found::ByName(name("box:1"), one));
}

#[test]
fn a_build_takes_a_few_digits_for_a_name() {
    let ground = ground();
    let (one, two) = two(&ground);
    let hex = one.digest().hex();
    for name in ["box:1", &hex, &hex[..12], &one.to_string(), &format!("sha256:{}", &hex[..12])] {
        assert_eq!(ground.store.hold_base(name).unwrap().id, one, "{name}");
    }
    for name in [&hex[..3], &hex[..11], &format!("sha256:{}", &hex[..11])] {
        assert!(ground.store.get(name).is_ok(), "{name}");
        assert!(ground.store.hold_base(name).is_err(), "{name}");
    }
    ground.store.tag(&two, &name("fade")).unwrap();
    assert_eq!(ground.store.hold_base("fade").unwrap().id, two);
}

#[test]
fn what_is_not_there_is_told_in_dockers_words() {
    let ground = ground();
    let id = "ab".repeat(32);
    for (name, shown) in [
        ("x", "x:latest"),
        ("me/x:1", "me/x:1"),
        ("docker.io/library/x", "x:latest"),
        ("host.example:5000/x", "host.example:5000/x:latest"),
        ("abc", "abc:latest"),
        (id.as_str(), format!("sha256:{id}").as_str()),
    ] {
        let error = ground.store.get(name).unwrap_err();
        assert_eq!(error.to_string(), format!("No such image: {shown}"));
        assert_eq!(error.kind(), barge_types::ErrorKind::NotFound);
    }
}

#[test]
fn what_cannot_be_a_name_is_told_so() {
    let store = ground().store;
    assert_eq!(store.get("").unwrap_err().to_string(), "invalid reference format");
    assert_eq!(
        store.get("Box").unwrap_err().to_string(),
        "invalid reference format: repository name (library/Box) must be lowercase"
    );
}

#[test]
fn the_beginning_of_several_ids_is_ambiguous() {
    let ground = ground();
    // Ids are digests: with 17 images two begin with the same digit.
    for n in 0..17_u8 {
        ground.import(tar(&[("a", &[n])]), &format!("box:{n}"));
    }
    let mut digits: Vec<String> =
        ground.store.list().iter().map(|image| image.id.digest().hex()[..1].to_owned()).collect();
    digits.sort();
    let twice = digits.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0].clone();
    let error = ground.store.get(&twice).unwrap_err();
    assert_eq!(error.to_string(), "ambiguous reference");
}

#[test]
fn a_name_goes_before_the_beginning_of_an_id() {
    let ground = ground();
    let (one, two) = two(&ground);
    let short = one.digest().hex()[..8].to_owned();
    if short.parse::<Reference>().is_ok() {
        ground.store.tag(&two, &name(&short)).unwrap();
        assert_eq!(ground.store.get(&short).unwrap().id, two);
    }
}

#[test]
fn tags_move_survive_and_tell_what_they_displaced() {
    let ground = ground();
    let (one, two) = two(&ground);
    assert_eq!(ground.store.tag(&two, &name("box:1")).unwrap(), Some(one));
    assert_eq!(ground.store.tag(&two, &name("box:1")).unwrap(), None);
    let ground = ground.reopen();
    assert_eq!(ground.store.get("box:1").unwrap().id, two);
    assert!(ground.store.image(&two).unwrap().last_tagged.is_some());
    assert!(ground.store.image(&one).unwrap().references.is_empty());
    let digest = format!("box@sha256:{}", "0".repeat(64));
    assert_eq!(
        ground.store.tag(&two, &name(&digest)).unwrap_err().to_string(),
        "refusing to create a tag with a digest reference"
    );
}

#[test]
fn history_is_newest_first_with_sizes_of_layers() {
    let ground = ground();
    let (lower, upper) = (tar(&[("a", b"123")]), tar(&[("b", b"12345")]));
    ground.load(&archives::docker_save(&[&lower, &upper], &["box:1"])).unwrap();
    let history = ground.store.history("box:1").unwrap();
    let steps: Vec<(&str, u64)> =
        history.iter().map(|entry| (entry.created_by.as_str(), entry.size)).collect();
    assert_eq!(steps, [("last", 5), ("nothing", 0), ("first", 3)]);
    assert_eq!(history[0].id, Some(ground.store.get("box:1").unwrap().id));
    assert_eq!(history[0].tags, ["box:1"]);
    assert_eq!((history[1].id, history[2].id), (None, None));
}
