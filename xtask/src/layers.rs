//! The crate graph as ARCHITECTURE.md draws it: nothing depends on something above it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::build::cargo;

/// From the bottom up. A crate may use those of its own row and of the rows below.
const LAYERS: [(&str, &[&str]); 7] = [
    ("vocabulary", &["barge-types", "barge-api-types", "barge-oci", "barge-shim-api"]),
    ("kernel", &["barge-sys", "barge-netlink", "barge-firewall", "barge-cgroups", "barge-seccomp"]),
    (
        "mechanism",
        &[
            "barge-archive",
            "barge-builder",
            "barge-dockerfile",
            "barge-storage",
            "barge-image",
            "barge-registry",
            "barge-network",
            "barge-volume",
            "barge-logdriver",
            "barge-runtime-core",
            "barge-shim-core",
        ],
    ),
    ("engine", &["barge-engine"]),
    ("edge", &["barge-api-server", "barge-client", "barge-cli-core"]),
    ("program", &["barge", "barged", "barge-shim", "barge-runtime", "barge-hello"]),
    (
        "workshop",
        &[
            "xtask",
            "barge-testkit",
            "barge-tests-api",
            "barge-tests-build",
            "barge-tests-cli",
            "barge-benches",
        ],
    ),
];

/// Edges that no row forbids and that would still be wrong.
const FORBIDDEN: [(&str, &str, &str); 10] = [
    ("barge-cli-core", "barge-engine", "the client knows the daemon by its API alone"),
    ("barge-client", "barge-engine", "the client knows the daemon by its API alone"),
    (
        "barge-engine",
        "barge-runtime-core",
        "the daemon speaks to shims, never to a container's init",
    ),
    ("barge-engine", "barge-shim-core", "the daemon speaks shim-api"),
    ("barge-api-server", "barge-client", "a server is no client"),
    ("barge-runtime-core", "barge-shim-core", "the runtime must work without a shim"),
    (
        "barge-registry",
        "barge-image",
        "a registry's client keeps nothing; the engine joins the two",
    ),
    ("barge-image", "barge-registry", "the image store does not know the network"),
    ("barge-api-types", "barge-types", "the wire depends on nothing of ours"),
    ("barge-api-types", "barge-oci", "the wire depends on nothing of ours"),
];

/// Fails on the first look at an edge that points up.
pub(crate) fn run() -> anyhow::Result<()> {
    let edges = edges()?;
    let wrong = violations(&edges);
    if !wrong.is_empty() {
        bail!("the crate graph points up:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

fn violations(edges: &[(String, String)]) -> Vec<String> {
    let row: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(row, (_, crates))| crates.iter().map(move |name| (*name, row)))
        .collect();
    let mut wrong = Vec::new();
    for (from, to) in edges {
        match (row.get(from.as_str()), row.get(to.as_str())) {
            (Some(from_row), Some(to_row)) if to_row > from_row => {
                wrong.push(format!(
                    "{from} ({}) → {to} ({})",
                    LAYERS[*from_row].0, LAYERS[*to_row].0
                ));
            }
            (None, _) => wrong.push(format!("{from} has no row in xtask/src/layers.rs")),
            (_, None) => wrong.push(format!("{to} has no row in xtask/src/layers.rs")),
            (Some(_), Some(_)) => {}
        }
        if let Some((_, _, why)) = FORBIDDEN.iter().find(|(a, b, _)| a == from && b == to) {
            wrong.push(format!("{from} → {to}: {why}"));
        }
    }
    wrong
}

/// Every normal dependency of one workspace crate on another.
fn edges() -> anyhow::Result<Vec<(String, String)>> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut edges = Vec::new();
    for package in packages {
        let from = package["name"].as_str().context("a package has no name")?;
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let is_ours = dependency["path"].is_string();
            let is_normal = dependency["kind"].is_null();
            if let (true, true, Some(to)) = (is_ours, is_normal, dependency["name"].as_str()) {
                edges.push((from.to_owned(), to.to_owned()));
            }
        }
    }
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Vec<(String, String)> {
        vec![(from.to_owned(), to.to_owned())]
    }

    #[test]
    fn an_edge_down_or_along_a_row_is_right() {
        assert!(violations(&edge("barge-engine", "barge-image")).is_empty());
        assert!(violations(&edge("barge-image", "barge-storage")).is_empty());
    }

    #[test]
    fn an_edge_up_is_named_with_both_rows() {
        let wrong = violations(&edge("barge-storage", "barge-engine"));
        assert_eq!(wrong, ["barge-storage (mechanism) → barge-engine (engine)"]);
    }

    #[test]
    fn the_engine_does_not_link_the_runtime() {
        assert!(
            violations(&edge("barge-engine", "barge-runtime-core"))[0].contains("speaks to shims")
        );
    }

    #[test]
    fn a_crate_without_a_row_is_reported() {
        assert!(!violations(&edge("barge-new", "barge-sys")).is_empty());
    }
}
