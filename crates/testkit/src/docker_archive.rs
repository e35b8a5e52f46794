//! Archives as `docker save` has written them over the years, made from a layer and a configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::TarBuilder;

/// Which `docker save`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Docker up to 24: `manifest.json`, `repositories` and a folder with `layer.tar`, `json` and `VERSION` per layer.
    Legacy,
    /// Docker from 25 on: an OCI layout (`index.json`, `oci-layout`, `blobs/sha256/…`) with Docker's `manifest.json`.
    Oci,
}

/// An image to be written as an archive.
#[derive(Clone, Debug)]
pub struct ArchiveImage {
    /// Its name with a tag, `repository:tag`.
    pub name: String,
    /// Its layers, from the bottom up, as tar files.
    pub layers: Vec<Vec<u8>>,
    /// The `config` of its configuration: `Cmd`, `Env` and so on.
    pub config: Value,
}

impl ArchiveImage {
    /// The archive.
    #[must_use]
    pub fn save(&self, layout: Layout) -> Vec<u8> {
        match layout {
            Layout::Legacy => self.legacy().finish(),
            Layout::Oci => self.oci().finish(),
        }
    }

    /// The image's id: the digest of its configuration.
    #[must_use]
    pub fn id(&self) -> String {
        format!("sha256:{}", hex(&self.configuration()))
    }

    fn configuration(&self) -> Vec<u8> {
        let diff_ids: Vec<String> =
            self.layers.iter().map(|layer| format!("sha256:{}", hex(layer))).collect();
        let history: Vec<Value> = (0..self.layers.len())
            .map(|number| json!({"created": CREATED, "created_by": format!("layer {number}")}))
            .collect();
        let image = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": CREATED,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        });
        image.to_string().into_bytes()
    }

    fn legacy(&self) -> TarBuilder {
        let config = self.configuration();
        let config_name = format!("{}.json", hex(&config));
        let (repository, tag) = self.name.rsplit_once(':').unwrap_or((&self.name, "latest"));
        let mut tar = TarBuilder::new();
        let mut layers = Vec::new();
        let mut parent = None;
        for layer in &self.layers {
            // A legacy id is any unique number, not the digest of the layer.
            let id = hex(format!("{parent:?}{}", hex(layer)).as_bytes());
            let mut description = json!({"id": id, "created": CREATED, "os": "linux"});
            if let Some(parent) = &parent {
                description["parent"] = json!(parent);
            }
            let path = format!("{id}/layer.tar");
            tar = tar
                .folder(&format!("{id}/"), 0o755)
                .file(&format!("{id}/VERSION"), 0o644, b"1.0")
                .file(&format!("{id}/json"), 0o644, description.to_string().as_bytes());
            // Docker writes a layer that it has written before as a link to the first.
            tar = tar.file(&path, 0o644, layer);
            layers.push(path);
            parent = Some(id);
        }
        let manifest = json!([{
            "Config": config_name, "RepoTags": [self.name], "Layers": layers,
        }]);
        let repositories = json!({repository: {tag: parent.unwrap_or_default()}});
        tar.file(&config_name, 0o644, &config)
            .file("manifest.json", 0o644, manifest.to_string().as_bytes())
            .file("repositories", 0o644, repositories.to_string().as_bytes())
    }

    fn oci(&self) -> TarBuilder {
        let config = self.configuration();
        let mut blobs = BTreeMap::from([(hex(&config), config.clone())]);
        let mut descriptors = Vec::new();
        for layer in &self.layers {
            descriptors.push(descriptor("application/vnd.oci.image.layer.v1.tar", layer));
            blobs.insert(hex(layer), layer.clone());
        }
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": descriptors,
        })
        .to_string()
        .into_bytes();
        let (_, tag) = self.name.rsplit_once(':').unwrap_or((&self.name, "latest"));
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/library/{}", self.name),
            "org.opencontainers.image.ref.name": tag,
        });
        blobs.insert(hex(&manifest), manifest);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [entry],
        });
        let layers: Vec<String> =
            self.layers.iter().map(|layer| format!("blobs/sha256/{}", hex(layer))).collect();
        let docker = json!([{
            "Config": format!("blobs/sha256/{}", hex(&config)),
            "RepoTags": [self.name], "Layers": layers,
        }]);
        let mut tar = TarBuilder::new().folder("blobs/", 0o755).folder("blobs/sha256/", 0o755);
        for (digest, bytes) in &blobs {
            tar = tar.file(&format!("blobs/sha256/{digest}"), 0o644, bytes);
        }
        tar.file("index.json", 0o644, index.to_string().as_bytes())
            .file("manifest.json", 0o644, docker.to_string().as_bytes())
            .file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)
    }
}

const CREATED: &str = "2024-01-01T00:00:00Z";

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({
        "mediaType": media_type, "digest": format!("sha256:{}", hex(bytes)), "size": bytes.len(),
    })
}

fn hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
