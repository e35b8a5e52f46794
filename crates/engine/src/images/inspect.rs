//! `image inspect`.

use std::sync::Arc;

use barge_api_types::{GraphDriverInfo, ImageConfig, ImageInspect, ImageMetadata, RootFs};
use barge_image::Image;

use super::Images;
use crate::blocking;
use crate::error::Result;

/// Whether the manifests that an image came with are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowManifests {
    /// They are not.
    Omit,
    /// They are.
    Include,
}

impl Images {
    /// Everything that is known of an image.
    pub async fn inspect(
        self: &Arc<Self>,
        name: &str,
        manifests: ShowManifests,
    ) -> Result<ImageInspect> {
        let (this, name) = (Arc::clone(self), name.to_owned());
        blocking::run(move || {
            let image = this.store.get(&name)?;
            let mut view = this.view(&image)?;
            if manifests == ShowManifests::Include {
                view.manifests = this.manifests(&image)?;
            }
            Ok(view)
        })
        .await
    }

    fn view(&self, image: &Image) -> Result<ImageInspect> {
        let config = &image.config;
        let size = i64::try_from(image.size).unwrap_or(i64::MAX);
        let storage = &self.containers.storage;
        let data = image.top_layer.as_ref().map(|layer| storage.metadata(layer)).transpose()?;
        Ok(ImageInspect {
            id: image.id.to_string(),
            repo_tags: image.repo_tags(),
            repo_digests: image.repo_digests(),
            parent: image.parent.map_or_else(String::new, |parent| parent.to_string()),
            descriptor: self.descriptor(image),
            comment: config.comment.clone(),
            created: config.created.clone().unwrap_or_default(),
            docker_version: config.docker_version.clone(),
            author: config.author.clone(),
            config: Some(view_config(image)),
            architecture: config.architecture.clone(),
            variant: config.variant.clone(),
            os: config.os.clone(),
            os_version: config.os_version.clone(),
            size,
            virtual_size: size,
            graph_driver: GraphDriverInfo {
                data: data.unwrap_or_default(),
                name: storage.name().to_owned(),
            },
            root_fs: RootFs {
                kind: "layers".to_owned(),
                layers: image.diff_ids.iter().map(ToString::to_string).collect(),
            },
            metadata: ImageMetadata {
                last_tag_time: image
                    .last_tagged
                    .clone()
                    .unwrap_or_else(|| crate::time::NEVER.to_owned()),
            },
            ..ImageInspect::default()
        })
    }
}

fn view_config(image: &Image) -> ImageConfig {
    let Some(config) = &image.config.config else {
        return ImageConfig::default();
    };
    let set = |map: &std::collections::BTreeMap<String, barge_oci::image::Empty>| {
        map.keys().map(|key| (key.clone(), barge_api_types::EmptyObject)).collect()
    };
    ImageConfig {
        user: config.user.clone(),
        exposed_ports: set(&config.exposed_ports),
        env: config.env.clone(),
        entrypoint: config.entrypoint.clone().unwrap_or_default().into(),
        cmd: config.cmd.clone().unwrap_or_default().into(),
        volumes: set(&config.volumes),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        stop_signal: config.stop_signal.clone(),
        args_escaped: config.args_escaped,
        healthcheck: config.healthcheck.as_ref().map(|check| barge_api_types::HealthConfig {
            test: check.test.clone(),
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }),
        on_build: config.on_build.clone(),
        shell: config.shell.clone().into(),
    }
}
