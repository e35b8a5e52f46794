//! `--output` as a client asks for it: every option is known or refused by its name.

use std::collections::BTreeMap;

use barge_api_types::BuildOutput;
use barge_builder::request::{Output, OutputKind};
use barge_types::parse_bool;

use super::request::{invalid, name};
use crate::error::{EngineError, Result};

/// What starts an option that is an annotation of the image.
const ANNOTATION: &str = "annotation.";

/// The builder's words. Annotations are of all images that a build makes, so that those of one output are refused beside
/// another image.
pub(super) fn parse_all(
    outputs: Vec<BuildOutput>,
    annotations: &mut BTreeMap<String, String>,
) -> Result<Vec<Output>> {
    let images = outputs.iter().filter(|output| !matches!(output.kind.as_str(), "local" | "tar"));
    let is_of_one = images.count() > 1;
    let mut all = Vec::new();
    for output in outputs {
        let mut own = BTreeMap::new();
        all.push(parse(output, &mut own)?);
        for (key, value) in own {
            if is_of_one {
                return Err(EngineError::NotImplemented(format!(
                    "option {ANNOTATION}{key}={value} of one of several images is not supported: expected --annotation"
                )));
            }
            match annotations.get(&key) {
                Some(other) if *other != value => {
                    return Err(invalid(format!(
                        "annotation {key} is {other:?} and {value:?} at the same time"
                    )));
                }
                Some(_) | None => annotations.insert(key, value),
            };
        }
    }
    Ok(all)
}

fn parse(output: BuildOutput, annotations: &mut BTreeMap<String, String>) -> Result<Output> {
    let mut kind = match output.kind.as_str() {
        "image" => OutputKind::Image,
        "local" | "tar" => OutputKind::Files,
        "oci" => OutputKind::Oci,
        "docker" => OutputKind::Docker,
        "registry" => OutputKind::Registry,
        other => return Err(invalid(format!("unknown output type {other:?}"))),
    };
    let mut options = BTreeMap::new();
    for (key, value) in output.attributes {
        if kind != OutputKind::Files
            && let Some(annotation) = key.strip_prefix(ANNOTATION)
        {
            annotations.insert(annotation.to_owned(), value);
            continue;
        }
        let refused = || {
            let text = format!(
                "option {key}={value} of an output of type {} is not supported",
                output.kind
            );
            EngineError::NotImplemented(text)
        };
        match (kind, key.as_str()) {
            (OutputKind::Files, "platform-split") => {
                switch(&key, &value)?;
            }
            (OutputKind::Image | OutputKind::Registry, "push") => {
                let is_pushed = switch(&key, &value)?;
                kind = if is_pushed { OutputKind::Registry } else { OutputKind::Image };
                continue;
            }
            // An image of ours is always there as a whole.
            (OutputKind::Image | OutputKind::Registry, "unpack") => {
                switch(&key, &value)?;
                continue;
            }
            (OutputKind::Image | OutputKind::Registry, "store") if switch(&key, &value)? => {
                continue;
            }
            // `SOURCE_DATE_EPOCH` bounds the times of all files anyway.
            (
                OutputKind::Image | OutputKind::Registry | OutputKind::Oci | OutputKind::Docker,
                "rewrite-timestamp",
            ) if switch(&key, &value)? => continue,
            (OutputKind::Oci | OutputKind::Docker, "compression") => {}
            _ => return Err(refused()),
        }
        options.insert(key, value);
    }
    let names = output.name.split(',').map(str::trim).filter(|text| !text.is_empty()).map(name);
    Ok(Output { kind, names: names.collect::<Result<_>>()?, options })
}

fn switch(key: &str, value: &str) -> Result<bool> {
    parse_bool(value).ok_or_else(|| {
        invalid(format!("invalid value {value:?} of output option {key}: expected true or false"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: &str, options: &[(&str, &str)]) -> Result<(Output, BTreeMap<String, String>)> {
        let attributes =
            options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut annotations = BTreeMap::new();
        let output = BuildOutput { kind: kind.to_owned(), name: "a:1, b".to_owned(), attributes };
        parse(output, &mut annotations).map(|output| (output, annotations))
    }

    #[test]
    fn an_image_that_is_pushed_is_a_registrys() {
        let (output, _) = parsed("image", &[("push", "true"), ("unpack", "false")]).unwrap();
        assert_eq!((output.kind, output.names.len()), (OutputKind::Registry, 2));
        for kind in ["image", "registry"] {
            assert_eq!(parsed(kind, &[("push", "0")]).unwrap().0.kind, OutputKind::Image);
        }
    }

    #[test]
    fn annotations_are_of_the_image() {
        let (output, annotations) = parsed("oci", &[("annotation.a.b", "c")]).unwrap();
        assert_eq!(annotations, [("a.b".to_owned(), "c".to_owned())].into());
        assert!(output.options.is_empty());
    }

    #[test]
    fn annotations_of_one_image_do_not_go_to_others() {
        let output = |kind: &str, value: &str| {
            let attributes = match value {
                "" => BTreeMap::new(),
                value => [("annotation.a".to_owned(), value.to_owned())].into(),
            };
            BuildOutput { kind: kind.to_owned(), name: String::new(), attributes }
        };
        let parsed = |outputs: &[BuildOutput]| {
            let mut annotations = [("a".to_owned(), "1".to_owned())].into();
            parse_all(outputs.to_vec(), &mut annotations).map_err(|error| error.to_string())
        };
        assert_eq!(parsed(&[output("oci", "1"), output("tar", "")]).unwrap().len(), 2);
        assert_eq!(parsed(&[output("oci", ""), output("image", "")]).unwrap().len(), 2);
        assert_eq!(
            parsed(&[output("oci", "1"), output("image", "")]).unwrap_err(),
            "option annotation.a=1 of one of several images is not supported: expected --annotation"
        );
        assert_eq!(
            parsed(&[output("oci", "2")]).unwrap_err(),
            "annotation a is \"1\" and \"2\" at the same time"
        );
    }

    #[test]
    fn options_that_are_not_known_are_refused_by_name() {
        let refused = |kind: &str, key: &str, value: &str| {
            parsed(kind, &[(key, value)]).unwrap_err().to_string()
        };
        assert_eq!(
            refused("registry", "push-by-digest", "true"),
            "option push-by-digest=true of an output of type registry is not supported"
        );
        assert!(refused("image", "store", "false").contains("store=false"));
        assert!(refused("tar", "annotation.x", "y").contains("annotation.x=y"));
        assert_eq!(
            refused("local", "platform-split", "maybe"),
            "invalid value \"maybe\" of output option platform-split: expected true or false"
        );
        assert_eq!(refused("zip", "a", "b"), "unknown output type \"zip\"");
    }
}
