//! `--output`: what is made of a result, and where it goes when it comes to us.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barge_api_types::BuildOutput;

use super::fields::{self, wrong};
use crate::error::Result;
use crate::flags::boolean;
use crate::terminal;

/// One `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Output {
    /// What the daemon is told.
    pub(super) wire: BuildOutput,
    pub(super) delivery: Delivery,
}

/// Where a result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It stays with the daemon, or goes on from there.
    Daemon,
    /// Its files into a folder.
    Folder(PathBuf),
    /// Its archive into a file.
    File(PathBuf),
    /// Its archive to standard output.
    Stdout,
}

/// `--push` and `--load`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shorthands {
    pub(super) push: bool,
    pub(super) load: bool,
}

/// All of them; none means the image store.
pub(super) fn parse(texts: &[String], shorthands: Shorthands) -> Result<Vec<Output>> {
    let mut outputs = texts.iter().map(|text| output(text)).collect::<Result<Vec<_>>>()?;
    let is_image = |output: &Output| output.wire.kind == "image";
    if shorthands.push {
        if let Some(image) = outputs.iter_mut().find(|output| is_image(output)) {
            image.wire.attributes.insert("push".to_owned(), "true".to_owned());
        } else if !outputs.iter().any(|output| output.wire.kind == "registry") {
            outputs.push(daemons("registry"));
        }
    }
    let is_kept =
        |output: &Output| output.delivery == Delivery::Daemon && output.wire.kind != "registry";
    if shorthands.load && !outputs.iter().any(is_kept) {
        outputs.push(daemons("docker"));
    }
    if outputs.iter().filter(|output| output.delivery == Delivery::Stdout).count() > 1 {
        return Err(wrong("only one output can go to standard output"));
    }
    let folders: Vec<_> = outputs.iter().filter_map(|output| output.delivery.path()).collect();
    for (number, path) in folders.iter().enumerate() {
        if folders[..number].contains(path) {
            return Err(wrong(format!("two outputs cannot both go to {}", path.display())));
        }
    }
    Ok(outputs)
}

fn daemons(kind: &str) -> Output {
    let wire = BuildOutput { kind: kind.to_owned(), ..BuildOutput::default() };
    Output { wire, delivery: Delivery::Daemon }
}

fn output(text: &str) -> Result<Output> {
    if text == "-" {
        return output("type=tar,dest=-");
    }
    if !text.contains(',') && !text.starts_with("type=") && !text.is_empty() {
        let wire = BuildOutput { kind: "local".to_owned(), ..BuildOutput::default() };
        return Ok(Output { wire, delivery: Delivery::Folder(PathBuf::from(text)) });
    }
    let mut attributes: BTreeMap<String, String> = fields::parse(text)?.into_iter().collect();
    let kind = attributes.remove("type").filter(|kind| !kind.is_empty());
    let kind = kind.ok_or_else(|| wrong(format!("type is required for output {text:?}")))?;
    let dest = attributes.remove("dest").filter(|dest| !dest.is_empty());
    let delivery = delivery(&kind, dest, &mut attributes)?;
    let name = attributes.remove("name").unwrap_or_default();
    Ok(Output { wire: BuildOutput { kind, name, attributes }, delivery })
}

fn delivery(
    kind: &str,
    dest: Option<String>,
    attributes: &mut BTreeMap<String, String>,
) -> Result<Delivery> {
    let is_unpacked = match attributes.get("tar") {
        Some(text) if kind == "oci" || kind == "docker" => {
            let is_tar = boolean(text).map_err(|error| {
                wrong(format!("invalid value for tar of output {kind}: {error}"))
            })?;
            attributes.remove("tar");
            !is_tar
        }
        Some(_) | None => false,
    };
    match (kind, dest) {
        ("local", None) => Err(wrong("dest is required for local output")),
        ("local", Some(dest)) if dest == "-" => {
            Err(wrong("dest cannot be stdout for local output"))
        }
        ("local", Some(dest)) => Ok(Delivery::Folder(PathBuf::from(dest))),
        ("oci" | "docker", Some(dest)) if is_unpacked && dest != "-" => {
            Ok(Delivery::Folder(PathBuf::from(dest)))
        }
        ("oci" | "docker", _) if is_unpacked => {
            Err(wrong(format!("dest is required for {kind} output with tar=false")))
        }
        ("tar" | "oci" | "docker", Some(dest)) if dest != "-" => {
            Ok(Delivery::File(PathBuf::from(dest)))
        }
        ("docker", None) => Ok(Delivery::Daemon),
        ("tar" | "oci" | "docker", _) => {
            if terminal::stdout_is_terminal() {
                return Err(wrong(format!(
                    "dest file is required for {kind} output: refusing to write to a terminal"
                )));
            }
            Ok(Delivery::Stdout)
        }
        ("image" | "registry", None) => Ok(Delivery::Daemon),
        ("image" | "registry", Some(_)) => {
            Err(wrong(format!("{kind} output has no dest: did you mean type=oci?")))
        }
        (_, _) => Err(wrong(format!(
            "unknown output type {kind:?}: there are docker, image, local, oci, registry and tar"
        ))),
    }
}

impl Output {
    /// What the daemon is asked for: of what `docker` would load there is nothing to send.
    pub(super) fn asked(&self) -> BuildOutput {
        let mut wire = self.wire.clone();
        if wire.kind == "docker" && self.delivery == Delivery::Daemon {
            "image".clone_into(&mut wire.kind);
        }
        wire
    }
}

impl Delivery {
    /// Where on our disk.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Folder(path) | Self::File(path) => Some(path),
            Self::Daemon | Self::Stdout => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, Delivery) {
        let output = output(text).unwrap();
        (output.wire.kind, output.delivery)
    }

    fn refusal(text: &str) -> String {
        output(text).unwrap_err().to_string()
    }

    #[test]
    fn a_path_alone_is_a_folder_for_the_files() {
        let folder = |path: &str| Delivery::Folder(PathBuf::from(path));
        assert_eq!(one("out"), ("local".to_owned(), folder("out")));
        assert_eq!(one("type=local,dest=a/b"), ("local".to_owned(), folder("a/b")));
        assert_eq!(one("type=oci,dest=d,tar=false"), ("oci".to_owned(), folder("d")));
        let file = Delivery::File(PathBuf::from("x.tar"));
        assert_eq!(one("type=oci,dest=x.tar"), ("oci".to_owned(), file.clone()));
        assert_eq!(one("type=tar,dest=x.tar"), ("tar".to_owned(), file));
        assert_eq!(one("type=docker"), ("docker".to_owned(), Delivery::Daemon));
        assert_eq!(one("type=image,push=true"), ("image".to_owned(), Delivery::Daemon));
    }

    #[test]
    fn what_would_be_loaded_stays_with_the_daemon() {
        let asked = |text: &str| output(text).unwrap().asked().kind;
        assert_eq!(asked("type=docker"), "image");
        assert_eq!(asked("type=docker,dest=x.tar"), "docker");
        assert_eq!(daemons("docker").asked().kind, "image");
    }

    #[test]
    fn names_and_other_attributes_go_to_the_daemon() {
        let output = output("type=image,\"name=a:1,b:2\",push=true,dest=").unwrap();
        assert_eq!(output.wire.name, "a:1,b:2");
        assert_eq!(output.wire.attributes, [("push".to_owned(), "true".to_owned())].into());
    }

    #[test]
    fn wrong_outputs_are_refused_in_words() {
        assert_eq!(refusal("dest=x,a=b"), "type is required for output \"dest=x,a=b\"");
        assert_eq!(refusal("type=local"), "dest is required for local output");
        assert_eq!(refusal("type=local,dest=-"), "dest cannot be stdout for local output");
        assert!(refusal("type=zip,dest=x").starts_with("unknown output type \"zip\""));
        assert!(refusal("type=image,dest=x").contains("has no dest"));
        assert!(refusal("type=oci,dest=x,tar=maybe").contains("invalid value for tar"));
        let same = ["a".to_owned(), "type=tar,dest=a".to_owned()];
        let error = parse(&same, Shorthands::default()).unwrap_err().to_string();
        assert_eq!(error, "two outputs cannot both go to a");
    }

    #[test]
    fn push_and_load_add_to_what_is_written_out() {
        let kinds = |texts: &[&str], push: bool, load: bool| {
            let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
            let outputs = parse(&texts, Shorthands { push, load }).unwrap();
            outputs.into_iter().map(|output| output.wire.kind).collect::<Vec<_>>()
        };
        assert!(kinds(&[], false, false).is_empty());
        assert_eq!(kinds(&[], true, false), ["registry"]);
        assert_eq!(kinds(&[], true, true), ["registry", "docker"]);
        assert_eq!(kinds(&["type=image"], true, true), ["image"]);
        assert_eq!(kinds(&["out"], false, true), ["local", "docker"]);
    }
}
