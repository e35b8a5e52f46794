//! `hugetlb` of version 1: a limit for each size of huge page that the kernel has.

use std::collections::BTreeMap;

use barge_oci::runtime::LinuxHugepageLimit;

use crate::{
    directory::{Directory, io_error},
    error::Result,
    stats::HugetlbStats,
};

pub(super) fn set(group: &Directory, limits: &[LinuxHugepageLimit]) -> Result<()> {
    for limit in limits {
        let file = format!("hugetlb.{}.limit_in_bytes", limit.page_size);
        group.write(&file, &limit.limit.to_string())?;
        // Reservations are counted apart since 5.7; without this one a process that mapped more dies of SIGBUS later.
        let reserved = format!("hugetlb.{}.rsvd.limit_in_bytes", limit.page_size);
        if group.has(&reserved) {
            group.write(&reserved, &limit.limit.to_string())?;
        }
    }
    Ok(())
}

pub(super) fn stats(group: &Directory) -> Result<BTreeMap<String, HugetlbStats>> {
    let mut stats = BTreeMap::new();
    for size in sizes(group)? {
        let read = |what| group.read_number_or_zero(&format!("hugetlb.{size}.{what}"));
        let found = HugetlbStats {
            usage: read("usage_in_bytes")?,
            max_usage: read("max_usage_in_bytes")?,
            failures: read("failcnt")?,
        };
        stats.insert(size, found);
    }
    Ok(stats)
}

/// The page sizes that have a limit file here.
fn sizes(group: &Directory) -> Result<Vec<String>> {
    let mut sizes = Vec::new();
    let path = group.path();
    for entry in std::fs::read_dir(path).map_err(io_error("list", path))? {
        let name = entry.map_err(io_error("list", path))?.file_name();
        let size = name.to_str().and_then(|name| {
            name.strip_prefix("hugetlb.")?
                .strip_suffix(".limit_in_bytes")
                .filter(|size| !size.contains('.'))
        });
        sizes.extend(size.map(str::to_owned));
    }
    Ok(sizes)
}
