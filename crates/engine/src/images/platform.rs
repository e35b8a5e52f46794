//! Which manifest of an index is meant: the platform's own, or the nearest that its processor also runs.

use barge_oci::image as oci;
use barge_types::Platform;

use crate::error::{EngineError, Result};

/// How the error begins where an index names nothing that fits: dockerd's words.
pub(crate) const NONE_FITS: &str = "no matching manifest for ";

/// The manifest for a platform; the error's text is dockerd's.
pub(super) fn choose<'i>(index: &'i oci::Index, wanted: &Platform) -> Result<&'i oci::Descriptor> {
    runnable(wanted)
        .iter()
        .find_map(|platform| index.manifests.iter().find(|entry| is_for(entry, platform)))
        .ok_or_else(|| {
            EngineError::NotFound(format!("{NONE_FITS}{wanted} in the manifest list entries"))
        })
}

fn is_for(entry: &oci::Descriptor, platform: &Platform) -> bool {
    entry.platform.as_ref().and_then(parse).is_some_and(|found| same(&found, platform))
}

/// As the API and the specification write one.
pub(super) fn parse(platform: &oci::Platform) -> Option<Platform> {
    let mut text = format!("{}/{}", platform.os, platform.architecture);
    if !platform.variant.is_empty() {
        text = format!("{text}/{}", platform.variant);
    }
    text.parse().ok()
}

/// Whether both say the same; a processor without variant is the first of its kind.
pub(super) fn same(left: &Platform, right: &Platform) -> bool {
    left.os() == right.os()
        && left.architecture() == right.architecture()
        && level(left) == level(right)
}

/// Whether an image for `found` is one that was meant by `wanted`.
pub(super) fn fits(found: &Platform, wanted: &Platform) -> bool {
    runnable(wanted).iter().any(|platform| same(found, platform))
}

/// Variants are levels: `v8`, `v8.1`, `v3`.
fn level(platform: &Platform) -> String {
    let first = match platform.architecture() {
        "amd64" => "v1",
        "arm" => "v7",
        "arm64" => "v8",
        _ => "",
    };
    platform.variant().unwrap_or(first).to_owned()
}

/// What a processor runs, the best first: the lower levels of its own kind, then its elders' programs; as containerd's
/// `platforms.Only` has it.
fn runnable(wanted: &Platform) -> Vec<Platform> {
    let mut list = vec![wanted.clone()];
    let os = wanted.os();
    let number =
        level(wanted).trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    let mut lower = |architecture: &str, from: u8, to: u8| {
        let levels = (to..=from)
            .rev()
            .filter_map(|level| format!("{os}/{architecture}/v{level}").parse().ok());
        list.extend(levels);
    };
    match (wanted.architecture(), number.unwrap_or(0)) {
        ("amd64", number) => {
            lower("amd64", number, 1);
            list.extend(format!("{os}/386").parse());
        }
        ("arm", number) => lower("arm", number, 5),
        ("arm64", number) => {
            lower("arm64", number, 8);
            lower("arm", 8, 5);
        }
        _ => {}
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[&str]) -> oci::Index {
        let entries = platforms.iter().map(|text| {
            let mut words = text.split('/').map(str::to_owned);
            let (os, architecture) = (words.next().unwrap(), words.next().unwrap());
            let variant = words.next().unwrap_or_default();
            oci::Descriptor {
                digest: (*text).to_owned(),
                platform: Some(oci::Platform {
                    os,
                    architecture,
                    variant,
                    ..oci::Platform::default()
                }),
                ..oci::Descriptor::default()
            }
        });
        oci::Index { manifests: entries.collect(), ..oci::Index::default() }
    }

    fn chosen(platforms: &[&str], wanted: &str) -> String {
        match choose(&index(platforms), &wanted.parse().unwrap()) {
            Ok(entry) => entry.digest.clone(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_same_platform_comes_before_one_that_also_runs() {
        let all = ["linux/386", "linux/arm/v6", "linux/arm/v7", "linux/amd64", "linux/arm64/v8"];
        assert_eq!(chosen(&all, "linux/amd64"), "linux/amd64");
        assert_eq!(chosen(&all, "linux/arm64"), "linux/arm64/v8");
        assert_eq!(chosen(&all, "linux/arm"), "linux/arm/v7");
        assert_eq!(chosen(&all, "linux/arm/v6"), "linux/arm/v6");
        assert_eq!(chosen(&all[..1], "linux/amd64"), "linux/386");
        assert_eq!(chosen(&["linux/arm/v5"], "linux/arm/v7"), "linux/arm/v5");
        assert_eq!(chosen(&["linux/amd64", "linux/amd64/v3"], "linux/amd64/v3"), "linux/amd64/v3");
    }

    #[test]
    fn none_that_runs_is_an_error_in_dockerds_words() {
        let text = "no matching manifest for linux/arm64 in the manifest list entries";
        assert_eq!(chosen(&["linux/amd64", "unknown/unknown"], "linux/arm64"), text);
        let text = "no matching manifest for linux/arm/v6 in the manifest list entries";
        assert_eq!(chosen(&["linux/arm/v7"], "linux/arm/v6"), text);
    }
}
