//! What must hold of the text of the project before it is tested.

use crate::{build, layers, sizes};

/// fmt, layers, sizes, clippy, docs; the quick ones first.
pub(crate) fn run() -> anyhow::Result<()> {
    println!("check: fmt");
    build::run(build::cargo().args(["fmt", "--all", "--check"]))?;
    println!("check: layers");
    layers::run()?;
    println!("check: sizes");
    sizes::run()?;
    println!("check: clippy");
    build::run(build::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    println!("check: docs");
    let mut docs = build::cargo();
    docs.env("RUSTDOCFLAGS", "-D warnings");
    build::run(docs.args(["doc", "--workspace", "--no-deps", "--document-private-items"]))
}
