//! Debian's cloud kernel, fetched as a package and unpacked, never installed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::build::run;

/// The newest cloud kernel of the distribution is what this one depends on.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// An unpacked kernel.
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// Files by module name, with `_` for `-`.
    modules: BTreeMap<String, PathBuf>,
}

/// Fetches the kernel, or finds the one that was fetched before.
pub(crate) fn fetch(cache: &Path) -> anyhow::Result<Kernel> {
    let folder = cache.join("kernel");
    if !folder.join("boot").exists() {
        let package = dependency().or_else(|_stale| {
            run(Command::new("apt-get").args(["-q", "update"]))?;
            dependency()
        })?;
        download(cache, &folder, &package)?;
    }
    let image = entries(&folder.join("boot"))?
        .into_iter()
        .find(|path| file_name(path).starts_with("vmlinuz-"))
        .context("the kernel package has no image")?;
    let mut modules = BTreeMap::new();
    collect_modules(&folder.join("lib/modules"), &mut modules)?;
    Ok(Kernel { image, modules })
}

fn dependency() -> anyhow::Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", PACKAGE])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
        .with_context(|| format!("the package lists do not know {PACKAGE}"))
}

/// Unpacks beside the final place first: what is there is whole.
fn download(cache: &Path, folder: &Path, package: &str) -> anyhow::Result<()> {
    let fresh = cache.join("kernel.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    // Not as apt's own user, who may not write here.
    run(Command::new("apt-get")
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", package])
        .current_dir(&fresh))?;
    let archive = entries(&fresh)?
        .into_iter()
        .find(|path| file_name(path).ends_with(".deb"))
        .context("apt-get downloaded no package")?;
    let unpacked = fresh.join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked))?;
    fs::rename(&unpacked, folder)?;
    fs::remove_dir_all(&fresh)?;
    Ok(())
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        paths.push(entry?.path());
    }
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn collect_modules(folder: &Path, modules: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            collect_modules(&path, modules)?;
        } else if let Some(name) = file_name(&path).strip_suffix(".ko") {
            modules.insert(name.replace('-', "_"), path);
        }
    }
    Ok(())
}

impl Kernel {
    /// The files of these modules and of those they need, in the order in which they load. A name that the kernel does
    /// not have as a module is built in, or shows as a failing test.
    pub(crate) fn modules(&self, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        for name in names {
            self.add(name, &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, order: &mut Vec<PathBuf>) -> anyhow::Result<()> {
        let Some(path) = self.modules.get(&name.replace('-', "_")) else {
            return Ok(());
        };
        if order.contains(path) {
            return Ok(());
        }
        let content = fs::read(path)?;
        for needed in dependencies(&content)? {
            self.add(&needed, order)?;
        }
        order.push(path.clone());
        Ok(())
    }
}

/// What a module says it needs: `depends=a,b` among the zero-terminated strings of its `.modinfo` section. The
/// package's own list is made by depmod at installation, so there is none.
fn dependencies(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let text = module.split(|&byte| byte == 0).find_map(|text| text.strip_prefix(b"depends="));
    let Some(text) = text else {
        bail!("a kernel module does not say what it depends on");
    };
    let names = String::from_utf8_lossy(text);
    Ok(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module_itself() {
        let module = b"junk\0license=GPL\0depends=nf_nat,nf_conntrack\0name=nft_nat\0";
        assert_eq!(dependencies(module).unwrap(), ["nf_nat", "nf_conntrack"]);
        assert!(dependencies(b"depends=\0").unwrap().is_empty());
        assert!(dependencies(b"nothing\0").is_err());
    }
}
