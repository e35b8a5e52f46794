//! `--attest` as a client asks for it: every parameter is known or refused by its name.

use std::collections::BTreeMap;

use barge_builder::BuildRequest;
use barge_builder::provenance::{Detail, ProvenanceOptions, SlsaVersion};
use barge_builder::request::Sbom;
use barge_types::{Reference, parse_bool};

use super::request::invalid;
use crate::error::{EngineError, Result};

/// What looks for an SBOM when nobody says: BuildKit's own choice.
const GENERATOR: &str = "docker/buildkit-syft-scanner:stable-1";

/// Adds what is asked for, by its type, to a request.
pub(super) fn apply(
    asked: &BTreeMap<String, BTreeMap<String, String>>,
    request: &mut BuildRequest,
) -> Result<()> {
    for (kind, parameters) in asked {
        match kind.as_str() {
            "provenance" => request.provenance = Some(provenance(parameters)?),
            "sbom" => request.sbom = Some(sbom(parameters)?),
            other => return Err(invalid(format!("unknown attestation type {other:?}"))),
        }
    }
    Ok(())
}

fn provenance(parameters: &BTreeMap<String, String>) -> Result<ProvenanceOptions> {
    let mut options = ProvenanceOptions::default();
    for (key, value) in parameters {
        let wrong = |expected: &str| {
            invalid(format!("invalid provenance parameter {key}={value}: expected {expected}"))
        };
        let switch = || parse_bool(value).ok_or_else(|| wrong("true or false"));
        match (key.as_str(), value.as_str()) {
            ("mode", "min") => options.detail = Detail::Min,
            ("mode", "max") => options.detail = Detail::Max,
            ("mode", _) => return Err(wrong("min or max")),
            ("version", "v0.2") => options.version = SlsaVersion::V02,
            ("version", "v1") => options.version = SlsaVersion::V1,
            ("version", _) => return Err(wrong("v0.2 or v1")),
            ("builder-id", id) => id.clone_into(&mut options.builder_id),
            ("reproducible", _) => options.is_reproducible = switch()?,
            ("inline-only", _) => options.is_inline_only = switch()?,
            ("filename", name) if is_file_name(name) => name.clone_into(&mut options.filename),
            ("filename", _) => return Err(wrong("the name of a file")),
            (_, _) => {
                return Err(EngineError::NotImplemented(format!(
                    "provenance parameter {key}={value} is not supported"
                )));
            }
        }
    }
    Ok(options)
}

fn sbom(parameters: &BTreeMap<String, String>) -> Result<Sbom> {
    if let Some((key, value)) = parameters.iter().find(|(key, _)| *key != "generator") {
        return Err(EngineError::NotImplemented(format!(
            "sbom parameter {key}={value} is not supported"
        )));
    }
    let generator = parameters.get("generator").filter(|image| !image.is_empty());
    let generator = generator.map_or(GENERATOR, String::as_str);
    let _: Reference = generator.parse().map_err(invalid)?;
    Ok(Sbom { generator: generator.to_owned() })
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: &str, parameters: &[(&str, &str)]) -> Result<Option<ProvenanceOptions>> {
        let parameters = parameters.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let mut request = BuildRequest::default();
        apply(&[(kind.to_owned(), parameters.collect())].into(), &mut request)?;
        Ok(request.provenance)
    }

    #[test]
    fn parameters_of_provenance_are_buildkits() {
        let all = [
            ("mode", "max"),
            ("version", "v1"),
            ("builder-id", "https://ci/1"),
            ("reproducible", "1"),
            ("inline-only", "false"),
            ("filename", "p.json"),
        ];
        let expected = ProvenanceOptions {
            detail: Detail::Max,
            version: SlsaVersion::V1,
            builder_id: "https://ci/1".to_owned(),
            is_reproducible: true,
            is_inline_only: false,
            filename: "p.json".to_owned(),
        };
        assert_eq!(asked("provenance", &all).unwrap(), Some(expected));
        assert_eq!(asked("provenance", &[]).unwrap(), Some(ProvenanceOptions::default()));
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        for (kind, parameter, text) in [
            ("signature", ("a", "b"), "unknown attestation type \"signature\""),
            ("provenance", ("mode", "all"), "mode=all: expected min or max"),
            ("provenance", ("version", "v2"), "version=v2: expected v0.2 or v1"),
            ("provenance", ("filename", "../x"), "filename=../x: expected the name of a file"),
            ("provenance", ("colour", "red"), "parameter colour=red is not supported"),
            ("sbom", ("colour", "red"), "sbom parameter colour=red is not supported"),
            (
                "sbom",
                ("generator", "A"),
                "invalid reference format: repository name (library/A) must be lowercase",
            ),
        ] {
            let error = asked(kind, &[parameter]).unwrap_err().to_string();
            assert!(error.ends_with(text), "{error}");
        }
    }
}
