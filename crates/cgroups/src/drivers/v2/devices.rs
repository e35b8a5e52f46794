//! Devices of version 2: the rules become a program that the kernel asks at every open and mknod.

use std::{io, os::fd::AsFd as _};

use barge_oci::runtime::LinuxDeviceCgroup;
use barge_sys::bpf;

use super::device_program;
use crate::{
    device_rules::DeviceTable,
    directory::Directory,
    error::{CgroupError, Result},
};

/// Puts the program in place of those that are there. The new one is attached before the old ones go: programs of one
/// group all have to agree, so at no moment is more allowed than either says.
pub(super) fn set(group: &Directory, rules: &[LinuxDeviceCgroup]) -> Result<()> {
    let failed = |action| {
        let path = group.path().to_owned();
        move |source: io::Error| CgroupError::DeviceProgram { action, path, source }
    };
    let table = DeviceTable::from_rules(rules)?;
    let instructions = device_program::compile(&table);
    let program = bpf::load_device_program(&instructions).map_err(failed("load"))?;
    let directory = group.open()?;
    let old = bpf::device_programs(directory.as_fd()).map_err(failed("list"))?;
    bpf::attach_device_program(directory.as_fd(), program.as_fd()).map_err(failed("attach"))?;
    for program in old {
        bpf::detach_device_program(directory.as_fd(), program.as_fd()).map_err(failed("detach"))?;
    }
    Ok(())
}
