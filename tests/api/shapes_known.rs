//! Where documents differ from those of docker.io 20.10 on purpose, and why.

const SINCE: &str = "newer daemons have it at every version";
const GONE: &str = "newer daemons no longer have it, and clients do not ask for it";
const EMPTY: &str = "an empty list where a client left it out, which means the same";
const BRIDGE: &str = "the other daemon runs without a bridge";
const OWN: &str = "what Docker does not count";
const NO_CONTAINER: &str = "an image does not keep the container that it was made from";

/// `document: sign field`, and the reason.
pub(crate) const DIFFERENCES: &[(&str, &str)] = &[
    ("*: + NetworkSettings.Networks.*.DNSNames", SINCE),
    ("*: + NetworkSettings.Networks.*.GwPriority", SINCE),
    ("*: + [].NetworkSettings.Networks.*.DNSNames", SINCE),
    ("*: + [].NetworkSettings.Networks.*.GwPriority", SINCE),
    ("df: + Containers[].NetworkSettings.Networks.*.DNSNames", SINCE),
    ("df: + Containers[].NetworkSettings.Networks.*.GwPriority", SINCE),
    ("*: + EnableIPv4", SINCE),
    ("networks: + [].EnableIPv4", SINCE),
    ("info: + CDISpecDirs*", SINCE),
    ("*: - HostConfig.KernelMemory*", GONE),
    ("info: - KernelMemory*", GONE),
    ("wait: - Error", GONE),
    ("info: - BridgeNfIp*", GONE),
    ("info: - RegistryConfig.AllowNondistributableArtifacts*", GONE),
    ("info: - ContainerdCommit.Expected", GONE),
    ("info: - InitCommit.Expected", GONE),
    ("info: - RuncCommit.Expected", GONE),
    ("df: - BuilderSize", GONE),
    ("*: ~ HostConfig.Blkio*", EMPTY),
    ("*: ~ HostConfig.Devices", EMPTY),
    ("*: ~ HostConfig.Dns*", EMPTY),
    ("*: ~ HostConfig.PortBindings", EMPTY),
    ("inspect ended: ~ HostConfig.Ulimits", EMPTY),
    ("*: ~ HostConfig.OomKillDisable", "null is the kernel's default, false says the same"),
    ("*: - Config.NetworkDisabled", BRIDGE),
    ("image committed: - ContainerConfig.*", NO_CONTAINER),
    ("image committed: ~ ContainerConfig.*", NO_CONTAINER),
    ("image committed: ~ Config.Labels", "no labels are null, as in newer daemons"),
    ("images: ~ [].RepoDigests", "no digests are an empty list, as in newer daemons"),
    ("images: ~ [].Labels", "no labels are null, as in newer daemons"),
    ("df: ~ Images[].RepoDigests", "no digests are an empty list, as in newer daemons"),
    ("df: ~ Images[].Labels", "no labels are null, as in newer daemons"),
    (
        "*: ~ Volumes[].Labels",
        "a volume without a name has a label that says so, as in newer daemons",
    ),
    ("df: ~ BuildCache", "an empty cache is an empty list"),
    ("df: + ContentUsage*", OWN),
    ("df: + LogsUsage*", OWN),
    ("info: ~ RegistryConfig.Mirrors", "no mirrors are null"),
    ("update: ~ Warnings", "no warnings are an empty list"),
    ("version: - BuildTime", "builds are reproducible: they do not know when they were made"),
];
