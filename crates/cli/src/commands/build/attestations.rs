//! `--attest` and its shorthands `--provenance` and `--sbom`: what is to be said of a result. Nothing, unless it is asked
//! for.

use std::collections::BTreeMap;

use super::fields::{self, wrong};
use super::flags::BuildFlags;
use crate::error::Result;
use crate::flags::boolean;

/// What is asked for, by type; what the parameters mean the daemon knows.
pub(super) type Attestations = BTreeMap<String, BTreeMap<String, String>>;

/// All of them; the words for what is wrong are buildx's.
pub(super) fn parse(flags: &BuildFlags) -> Result<Attestations> {
    let mut texts = flags.attest.clone();
    for (kind, value) in [("provenance", &flags.provenance), ("sbom", &flags.sbom)] {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else { continue };
        texts.push(match boolean(value) {
            Ok(is_on) => format!("type={kind},disabled={}", !is_on),
            Err(_) => format!("type={kind},{value}"),
        });
    }
    let mut all: BTreeMap<String, Option<BTreeMap<String, String>>> = BTreeMap::new();
    for text in &texts {
        let mut parameters: BTreeMap<String, String> = fields::parse(text)?.into_iter().collect();
        let kind = parameters.remove("type").filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| wrong(format!("attestation type not specified: {text}")))?;
        if !matches!(kind.as_str(), "provenance" | "sbom") {
            return Err(wrong(format!(
                "--attest type={kind}: there are \"provenance\" and \"sbom\""
            )));
        }
        let is_off = parameters.remove("disabled").map(|text| {
            boolean(&text).map_err(|_| wrong(format!("invalid value disabled={text}: {kind}")))
        });
        let wanted = (!is_off.transpose()?.unwrap_or_default()).then_some(parameters);
        // Who says the same twice may.
        if all.get(&kind).is_some_and(|before| *before != wanted) {
            return Err(wrong(format!("duplicate attestation field {kind}")));
        }
        all.insert(kind, wanted);
    }
    Ok(all.into_iter().filter_map(|(kind, wanted)| Some((kind, wanted?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(attest: &[&str], provenance: &str, sbom: &str) -> Result<Attestations> {
        let shorthand = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        parse(&BuildFlags {
            attest: attest.iter().map(|&text| text.to_owned()).collect(),
            provenance: shorthand(provenance),
            sbom: shorthand(sbom),
            ..BuildFlags::default()
        })
    }

    #[test]
    fn shorthands_say_the_same_as_the_flag() {
        assert!(parsed(&[], "", "").unwrap().is_empty());
        assert!(parsed(&["type=sbom,disabled=true"], "false", "0").unwrap().is_empty());
        let plain = parsed(&["type=provenance"], "", "").unwrap();
        assert_eq!(plain, parsed(&[], "true", "").unwrap());
        assert_eq!(plain["provenance"], BTreeMap::new());
        let long = parsed(&["type=provenance,mode=max,builder-id=x"], "", "0").unwrap();
        assert_eq!(long, parsed(&[], "mode=max,builder-id=x", "").unwrap());
        assert_eq!(long["provenance"]["builder-id"], "x");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let refusal = |attest: &[&str]| parsed(attest, "mode=min", "").unwrap_err().to_string();
        assert_eq!(refusal(&["type=provenance"]), "duplicate attestation field provenance");
        assert_eq!(refusal(&["mode=max"]), "attestation type not specified: mode=max");
        assert!(refusal(&["type=vex"]).starts_with("--attest type=vex: there are"));
    }
}
