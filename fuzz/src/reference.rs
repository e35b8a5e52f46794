//! Names of images are read and written again.

use barge_types::Reference;

/// Reads `data` as a name; panics when its long or familiar form means another image.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(reference) = text.parse::<Reference>() else {
        return;
    };
    let long = reference.to_string();
    assert_eq!(long.parse::<Reference>().as_ref(), Ok(&reference), "{long} of {text:?}");
    // As in Docker: without its registry `docker.io/a.b/c` is taken for the registry `a.b`.
    let first = reference.path().split('/').next().unwrap_or_default();
    let familiar = reference.familiar();
    if reference.domain() == "docker.io" && (first.contains('.') || first == "localhost") {
        return;
    }
    assert_eq!(familiar.parse::<Reference>().as_ref(), Ok(&reference), "{familiar} of {text:?}");
    assert!(reference.repository().len() <= 255 + "docker.io/library/".len());
    assert!(!reference.path().contains(".."), "{text:?}");
}
