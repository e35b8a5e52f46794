//! `hugetlb` of version 2: a limit for each size of huge page that the kernel has.

use std::{collections::BTreeMap, fs};

use barge_oci::runtime::LinuxHugepageLimit;

use crate::{
    directory::{Directory, io_error, value_of},
    error::{CgroupError, Result},
    stats::HugetlbStats,
};

pub(super) fn set(group: &Directory, limits: &[LinuxHugepageLimit]) -> Result<()> {
    for limit in limits {
        let file = format!("hugetlb.{}.max", limit.page_size);
        if !group.has(&file) {
            return Err(CgroupError::Absent {
                what: "a limit of huge pages",
                controller: "hugetlb",
            });
        }
        group.write(&file, &limit.limit.to_string())?;
        // Reservations are counted apart since 5.7; without this one a process that mapped more dies of SIGBUS later.
        let reserved = format!("hugetlb.{}.rsvd.max", limit.page_size);
        if group.has(&reserved) {
            group.write(&reserved, &limit.limit.to_string())?;
        }
    }
    Ok(())
}

pub(super) fn stats(group: &Directory) -> Result<BTreeMap<String, HugetlbStats>> {
    let mut stats = BTreeMap::new();
    let path = group.path();
    for entry in fs::read_dir(path).map_err(io_error("list", path))? {
        let name = entry.map_err(io_error("list", path))?.file_name();
        let Some(size) = name
            .to_str()
            .and_then(|name| name.strip_prefix("hugetlb.")?.strip_suffix(".current"))
            .filter(|size| !size.contains('.'))
        else {
            continue;
        };
        let events = group.read_optional(&format!("hugetlb.{size}.events"))?.unwrap_or_default();
        let found = HugetlbStats {
            usage: group.read_number(&format!("hugetlb.{size}.current"))?,
            max_usage: 0,
            failures: value_of(&events, "max").unwrap_or_default(),
        };
        stats.insert(size.to_owned(), found);
    }
    Ok(stats)
}
