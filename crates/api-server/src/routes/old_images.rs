//! What an image's inspection had in older versions of the API and clients of theirs read: until 1.49 an image's
//! configuration had the fields of a container's, empty ones too; until 1.44 it told of the container that it was made
//! from.

use barge_api_types::ImageInspect;
use serde_json::{Map, Value, json};

use crate::version::ApiVersion;

/// From here on an image's configuration has an image's fields.
const OWN_CONFIG_SINCE: ApiVersion = ApiVersion::new(1, 50);
/// From here on the inspection is the engine's own.
pub(super) const CHANGED_LAST: ApiVersion = OWN_CONFIG_SINCE;
/// From here on nothing is said of the container.
const NO_CONTAINER_SINCE: ApiVersion = ApiVersion::new(1, 45);

/// The inspection as this version has it.
pub(super) fn view(image: &ImageInspect, version: ApiVersion) -> Value {
    let mut view = json!(image);
    if version < OWN_CONFIG_SINCE
        && let Some(config) = view.get_mut("Config").and_then(Value::as_object_mut)
    {
        for (name, value) in empty_config() {
            config.entry(name).or_insert(value);
        }
    }
    if version < NO_CONTAINER_SINCE
        && let Some(view) = view.as_object_mut()
    {
        view.insert("Container".to_owned(), json!(""));
        view.insert("ContainerConfig".to_owned(), empty_config().into());
    }
    view
}

fn empty_config() -> Map<String, Value> {
    let texts = ["Domainname", "Hostname", "Image", "User", "WorkingDir"];
    let switches = ["AttachStderr", "AttachStdin", "AttachStdout", "OpenStdin", "StdinOnce", "Tty"];
    let lists = ["Cmd", "Entrypoint", "Env", "Labels", "OnBuild", "Volumes"];
    let fields = texts.map(|name| (name, json!("")));
    let fields = fields.into_iter().chain(switches.map(|name| (name, json!(false))));
    let fields = fields.chain(lists.map(|name| (name, Value::Null)));
    fields.map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use barge_api_types::ImageConfig;

    use super::*;

    #[test]
    fn old_versions_have_the_fields_of_containers() {
        let config = ImageConfig { user: "me".to_owned(), ..ImageConfig::default() };
        let image = ImageInspect { config: Some(config), ..ImageInspect::default() };
        let at = |minor| view(&image, ApiVersion::new(1, minor));
        assert_eq!(at(50)["Config"], json!({ "User": "me" }));
        assert_eq!(at(49)["Config"]["User"], "me");
        assert_eq!(at(49)["Config"]["WorkingDir"], "");
        assert_eq!(at(49).get("ContainerConfig"), None);
        assert_eq!(at(44)["ContainerConfig"]["Tty"], false);
    }
}
