//! Manifests, indexes and configurations are read and written again.

use std::fmt::Debug;

use barge_oci::image::{ImageConfig, Index, Manifest};

/// Reads `data` as each; panics when what was written reads differently.
pub fn check(data: &[u8]) {
    same::<Manifest>(data);
    same::<Index>(data);
    same::<ImageConfig>(data);
}

fn same<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(data) else {
        return;
    };
    let text = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&text).expect("what was written can be read");
    let text_again = serde_json::to_vec(&again).expect("what was read can be written");
    assert_eq!(text, text_again, "{value:?} changes when it is read again");
}
