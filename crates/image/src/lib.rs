//! Images: blobs by digest, layers by chain id, configurations, references, archives in and out.
//!
//! An image is what its configuration says: its id is the digest of the configuration's bytes,
//! which are kept as they came. Layers live in the storage driver, their archives in the content
//! store, so that an image goes out as it came in. Everything is synchronous and holds no lock
//! while a layer is read; one rename publishes an image with its names, and what a killed process
//! left is swept at the next start.

mod adopt;
mod archives;
mod attest;
mod built;
mod changes;
mod commit;
mod content;
mod durable;
mod error;
mod export;
mod faults;
mod gc;
mod history;
mod image;
mod import;
mod index;
mod ingest;
mod intake;
mod layers;
mod load;
mod manifests;
mod part;
mod platforms;
mod remove;
mod reserve;
mod resolve;
mod save;
mod store;
mod unpack;

pub use adopt::{AdoptOptions, Adopted};
pub use attest::{KeptAttestation, Predicate, Said, Subject, statement};
pub use built::BuiltOptions;
pub use changes::apply as apply_changes;
pub use commit::Commit;
pub use content::{BlobWriter, ContentStore, ContentUsage};
pub use error::{ImageError, Result};
pub use export::{ArchiveForm, ExportOptions, LayerCompression};
pub use history::HistoryEntry;
pub use image::Image;
pub use import::ImportOptions;
pub use ingest::{Ingest, LayerSpec, LayerTicket, ManifestBytes, OpenLayer, Publication};
pub use layers::{BlobFormat, Layer, LayerBlob, LayerSource, chain_id, chain_ids};
pub use load::{LONGEST_DOCUMENT, LayoutName, LoadProgress, Loaded};
pub use manifests::{KeptIndex, KeptManifest, PushBlob, PushImage};
pub use platforms::{PushAttestation, PushIndex};
pub use remove::{ImageUsage, Parents, Removal, Removed, UnusedImages, User, UserState};
pub use resolve::Found;
pub use save::Save;
pub use store::{Held, ImageStore, Pin};

#[cfg(test)]
mod tests;
