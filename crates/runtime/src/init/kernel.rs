//! Host name, domain name and kernel settings of the container's own namespaces.

use std::io::Write as _;
use std::path::Path;

use barge_oci::runtime::{Linux, Spec};
use barge_sys::openat2;
use rustix::fs::{CWD, OFlags};

use crate::error::{At as _, Stage, StartError};

/// `PROC_SUPER_MAGIC` of linux/magic.h.
const PROC: i64 = 0x9fa0;

/// Sets the two names.
pub(super) fn set_names(spec: &Spec) -> Result<(), StartError> {
    if let Some(name) = spec.hostname.as_ref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes())
            .at(Stage::Hostname, || "sethostname".into())?;
    }
    if let Some(name) = spec.domainname.as_ref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes())
            .at(Stage::Hostname, || "setdomainname".into())?;
    }
    Ok(())
}

/// Writes the kernel settings; which are allowed was checked before anything was made.
pub(super) fn set_sysctls(linux: &Linux) -> Result<(), StartError> {
    for (name, value) in &linux.sysctl {
        let file = path_of(name);
        write_proc(&Path::new("sys").join(file), value)
            .at(Stage::Sysctl, || format!("write sysctl {name} = {value}"))?;
    }
    Ok(())
}

/// The path of a setting below `/proc/sys`. The first separator says which form it is (sysctl(8)).
fn path_of(name: &str) -> String {
    match (name.find('.'), name.find('/')) {
        (Some(dot), Some(slash)) if slash < dot => name.to_owned(),
        (None, Some(_)) => name.to_owned(),
        _ => {
            let swap = |byte| match byte {
                '.' => '/',
                '/' => '.',
                other => other,
            };
            name.chars().map(swap).collect()
        }
    }
}

/// Writes to a file of the container's `/proc`, after making sure that it is one: the image may have put a link or a
/// file of its own there.
pub(super) fn write_proc(path: &Path, text: &str) -> std::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let proc = openat2::open_without_links(CWD, Path::new("/proc"), flags)?;
    let file = openat2::open_without_links(&proc, path, OFlags::WRONLY)?;
    if rustix::fs::fstatfs(&file)?.f_type != PROC {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "/proc is no procfs"));
    }
    std::fs::File::from(file).write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_name_are_understood() {
        assert_eq!(path_of("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path_of("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
