//! A tar writer of our own: it also writes what a decent one refuses, because that is what hostile archives hold.

/// Builds an archive in memory, entry by entry, in ustar form.
#[derive(Clone, Debug, Default)]
pub struct TarBuilder {
    bytes: Vec<u8>,
}

impl TarBuilder {
    /// An archive without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A file of root's.
    #[must_use]
    pub fn file(self, name: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(name, (b'0', mode), "", content)
    }

    /// A folder.
    #[must_use]
    pub fn folder(self, name: &str, mode: u32) -> Self {
        self.entry(name, (b'5', mode), "", &[])
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(name, (b'2', 0o777), target, &[])
    }

    /// A hard link.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(name, (b'1', 0o644), target, &[])
    }

    /// An entry of any type and mode, also of those that do not exist.
    ///
    /// # Panics
    /// When a name is longer than the hundred bytes of an ustar header.
    #[must_use]
    pub fn entry(
        mut self,
        name: &str,
        (kind, mode): (u8, u32),
        link: &str,
        content: &[u8],
    ) -> Self {
        assert!(name.len() <= 100 && link.len() <= 100, "{name} does not fit an ustar header");
        let mut header = [0_u8; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
        header[108..116].copy_from_slice(b"0000000\0");
        header[116..124].copy_from_slice(b"0000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        // 2024-01-01: the same bytes in every run, and not the epoch, which some take for "no time".
        header[136..148].copy_from_slice(format!("{:011o}\0", 1_704_067_200).as_bytes());
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        if matches!(kind, b'3' | b'4') {
            // Major and minor number of a device: 8:0 would be the first disk.
            header[329..337].copy_from_slice(b"0000010\0");
            header[337..345].copy_from_slice(b"0000000\0");
        }
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().copied().map(u32::from).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// The archive, with its end.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }

    /// The archive as a file compressed by gzip.
    ///
    /// # Panics
    /// Never: a vector takes everything.
    #[must_use]
    pub fn gzip(self) -> Vec<u8> {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&self.finish()).unwrap();
        encoder.finish().unwrap()
    }

    /// The archive as a file compressed by zstd.
    ///
    /// # Panics
    /// Never: a vector takes everything.
    #[must_use]
    pub fn zstd(self) -> Vec<u8> {
        zstd::encode_all(self.finish().as_slice(), 1).unwrap()
    }
}
