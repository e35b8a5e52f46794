//! `devices` of version 1: the default first, then each exception by a write of its own.

use barge_oci::runtime::LinuxDeviceCgroup;

use crate::{
    device_rules::{Access, Device, DeviceTable, Kind, Verdict},
    directory::{Directory, write_message},
    error::Result,
};

pub(super) fn set(group: &Directory, rules: &[LinuxDeviceCgroup]) -> Result<()> {
    let table = DeviceTable::from_rules(rules)?;
    let (default, exception) = match table.default {
        Verdict::Deny => ("devices.deny", "devices.allow"),
        Verdict::Allow => ("devices.allow", "devices.deny"),
    };
    group.write(default, "a")?;
    if table.exceptions.is_empty() {
        return Ok(());
    }
    let path = group.file(exception);
    let mut file = group.open_to_write(exception)?;
    for (device, access) in &table.exceptions {
        write_message(&mut file, &path, &line(*device, *access))?;
    }
    Ok(())
}

fn line(device: Device, access: Access) -> String {
    let kind = match device.kind {
        Kind::Block => 'b',
        Kind::Char => 'c',
    };
    let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |n| n.to_string());
    format!("{kind} {}:{} {}", number(device.major), number(device.minor), access.letters())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_written_as_the_kernel_reads_it() {
        let device = Device { kind: Kind::Char, major: Some(1), minor: None };
        assert_eq!(line(device, Access::ALL), "c 1:* rwm");
        assert_eq!(line(device, Access(1)), "c 1:* m");
    }
}
