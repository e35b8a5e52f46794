//! What JSON does not tell of Go's types, by the names of fields: which objects are maps and which
//! are structs, and what stands for a field that was left out or is `null`.

/// What kind of object stands in JSON's braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A struct: its fields are known, another one is an error.
    Struct,
    /// A map of texts: what is not in it is nothing, or an empty text by `index`.
    Texts,
    /// Another map: what is not in it is nothing.
    Map,
}

const TEXTS: &[&str] = &[
    "Annotations",
    "Attributes",
    "AuxiliaryAddresses",
    "Data",
    "Details",
    "DriverOpts",
    "IPAMOptions",
    "Labels",
    "Options",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
];

const MAPS: &[&str] = &[
    "Containers",
    "ExposedPorts",
    "IndexConfigs",
    "Networks",
    "PortBindings",
    "Ports",
    "Runtimes",
    "Volumes",
];

const LISTS: &[&str] = &[
    "Aliases",
    "Authorization",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "SecurityOpt",
    "SecurityOptions",
    "Shell",
    "Ulimits",
    "VolumesFrom",
    "Warnings",
];

/// Pointers that the API leaves out.
const POINTERS: &[&str] = &[
    "ClusterVolume",
    "Health",
    "Healthcheck",
    "Init",
    "SizeRootFs",
    "SizeRw",
    "StopTimeout",
    "UsageData",
];

/// Texts that the API leaves out.
const WORDS: &[&str] = &[
    "Author",
    "BuildTime",
    "Comment",
    "DockerVersion",
    "KernelVersion",
    "MacAddress",
    "OsVersion",
    "StopSignal",
    "Variant",
];

/// Texts that events leave out.
const EVENT_WORDS: &[&str] = &["From", "ID", "Status"];

/// What a field of this name holds in a field of that name.
pub(super) fn of(parent: Option<&str>, name: Option<&str>) -> Shape {
    match (parent, name) {
        // A container's own configuration is a struct, a log driver's is not.
        (Some("LogConfig"), Some("Config")) => Shape::Texts,
        (_, Some(name)) if TEXTS.contains(&name) => Shape::Texts,
        (_, Some(name)) if MAPS.contains(&name) => Shape::Map,
        (_, Some(_) | None) => Shape::Struct,
    }
}

/// What is left out, or is `null`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zero {
    Pointer,
    Text,
    List,
    Map(Shape),
}

/// What `null` means under this name.
pub(super) fn null(parent: Option<&str>, name: Option<&str>) -> Zero {
    match (of(parent, name), name) {
        (Shape::Struct, Some(name)) if LISTS.contains(&name) || parent == Some("Ports") => {
            Zero::List
        }
        (Shape::Struct, Some(_) | None) => Zero::Pointer,
        (shape, _) => Zero::Map(shape),
    }
}

/// What a field of a struct is that is not in the document; none when there is no such field.
pub(super) fn left_out(name: &str) -> Option<Zero> {
    match name {
        _ if POINTERS.contains(&name) => Some(Zero::Pointer),
        _ if WORDS.contains(&name) => Some(Zero::Text),
        _ if LISTS.contains(&name) => Some(Zero::List),
        _ => match of(None, Some(name)) {
            Shape::Struct => None,
            shape @ (Shape::Texts | Shape::Map) => Some(Zero::Map(shape)),
        },
    }
}

/// The same of an event.
pub(super) fn left_out_of_event(name: &str) -> Option<Zero> {
    EVENT_WORDS.contains(&name).then_some(Zero::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_go_has() {
        assert_eq!(of(None, Some("Labels")), Shape::Texts);
        assert_eq!(of(Some("LogConfig"), Some("Config")), Shape::Texts);
        assert_eq!(of(None, Some("Config")), Shape::Struct);
        assert_eq!(null(Some("Ports"), Some("80/tcp")), Zero::List);
        assert_eq!(null(None, Some("OomKillDisable")), Zero::Pointer);
        assert_eq!(left_out("Health"), Some(Zero::Pointer));
        assert_eq!(left_out("Nope"), None);
    }
}
