//! Archives as others write them, made of bytes.

use std::io::Write as _;

use barge_archive::Digester;
use barge_archive::compression::{Compression, Encoder};
use barge_archive::tar::{EntryKind, Header, Writer};
use serde_json::{Value, json};

/// A tar of files.
pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    for (name, content) in files {
        file(&mut tar, name, content);
    }
    tar.finish().unwrap()
}

pub(super) fn file(tar: &mut Writer<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = Header::new(name, EntryKind::Regular);
    header.size = content.len() as u64;
    tar.append_bytes(&header, content).unwrap();
}

pub(super) fn link(tar: &mut Writer<Vec<u8>>, name: &str, kind: EntryKind, target: &str) {
    let mut header = Header::new(name, kind);
    header.link = target.into();
    tar.append_bytes(&header, &[]).unwrap();
}

pub(super) fn compressed(bytes: &[u8], format: Compression) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The configuration of an image with these layers.
pub(super) fn config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|l| Digester::of(l).to_string()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]}, "kept.as.it.is": [1, 2],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "first"}, {"created_by": "nothing", "empty_layer": true}, {"created_by": "last"}]
    });
    serde_json::to_vec_pretty(&config).unwrap()
}

/// What `docker save` wrote up to 24: a folder for each layer, `<id>.json`, `manifest.json`,
/// `repositories`.
pub(super) fn docker_save(layers: &[&[u8]], tags: &[&str]) -> Vec<u8> {
    docker_save_with(layers, &config(layers), tags)
}

pub(super) fn docker_save_with(layers: &[&[u8]], config: &[u8], tags: &[&str]) -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    let mut names = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let id = Digester::of(format!("v1 {number}").as_bytes()).hex();
        tar.append_bytes(&Header::new(format!("{id}/"), EntryKind::Directory), &[]).unwrap();
        file(&mut tar, &format!("{id}/VERSION"), b"1.0");
        file(&mut tar, &format!("{id}/json"), b"{}");
        file(&mut tar, &format!("{id}/layer.tar"), layer);
        names.push(format!("{id}/layer.tar"));
    }
    let config_name = format!("{}.json", Digester::of(config).hex());
    file(&mut tar, &config_name, config);
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    file(&mut tar, "manifest.json", manifest.to_string().as_bytes());
    file(&mut tar, "repositories", b"{}");
    tar.finish().unwrap()
}

/// An OCI layout under construction.
pub(super) struct Layout {
    tar: Writer<Vec<u8>>,
}

impl Layout {
    pub(super) fn new() -> Self {
        let mut tar = Writer::new(Vec::new());
        file(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        Self { tar }
    }

    /// Adds a blob, returns its descriptor.
    pub(super) fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digester::of(bytes);
        file(&mut self.tar, &format!("blobs/sha256/{}", digest.hex()), bytes);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Adds an image of layers as they are stored, whose plain bytes are `plain`.
    pub(super) fn image(&mut self, stored: &[&[u8]], plain: &[&[u8]]) -> Value {
        let layers: Vec<Value> = stored
            .iter()
            .map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar+gzip", layer))
            .collect();
        let config = self.blob("application/vnd.oci.image.config.v1+json", &config(plain));
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let manifest = manifest.to_string();
        self.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())
    }

    /// The same as a folder.
    pub(super) fn unpacked(self, manifests: &[Value]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let options = barge_archive::extract::ApplyOptions::default();
        let archive = self.finish(manifests);
        barge_archive::extract::apply(folder.path(), &archive[..], &options).unwrap();
        folder
    }

    pub(super) fn finish(mut self, manifests: &[Value]) -> Vec<u8> {
        let index = json!({"schemaVersion": 2, "manifests": manifests}).to_string();
        file(&mut self.tar, "index.json", index.as_bytes());
        self.tar.finish().unwrap()
    }
}
