//! Names for containers that nobody named: a quality and a vessel.

/// What a vessel can be.
const QUALITIES: [&str; 48] = [
    "able", "amber", "bold", "brave", "bright", "brisk", "broad", "busy", "calm", "clever",
    "copper", "daring", "eager", "early", "fair", "fast", "fleet", "gentle", "golden", "grand",
    "handy", "hardy", "hasty", "iron", "jolly", "keen", "kind", "late", "lively", "loyal", "lucky",
    "mellow", "merry", "nimble", "noble", "patient", "plucky", "proud", "quick", "quiet", "ready",
    "silver", "steady", "stout", "swift", "trusty", "warm", "wise",
];

/// What goes on water.
const VESSELS: [&str; 48] = [
    "argosy", "balinger", "barque", "brig", "bugeye", "canoe", "caravel", "carrack", "catboat",
    "clipper", "coble", "cog", "coracle", "corvette", "cutter", "dhow", "dinghy", "dory", "ferry",
    "felucca", "frigate", "galleon", "galley", "gondola", "hulk", "junk", "kayak", "keelboat",
    "ketch", "knarr", "launch", "lighter", "longship", "lugger", "nao", "packet", "pinnace",
    "pram", "proa", "punt", "raft", "sampan", "schooner", "skiff", "sloop", "tender", "trawler",
    "yawl",
];

/// One of the names, chosen by two random bytes.
pub(crate) fn generate(random: [u8; 2]) -> String {
    let pick = |list: &[&'static str], byte: u8| list[usize::from(byte) % list.len()];
    format!("{}_{}", pick(&QUALITIES, random[0]), pick(&VESSELS, random[1]))
}

#[cfg(test)]
mod tests {
    use barge_types::ContainerName;

    use super::*;

    #[test]
    fn every_name_is_a_valid_container_name() {
        for first in 0..=255 {
            assert!(generate([first, 255 - first]).parse::<ContainerName>().is_ok());
        }
    }
}
