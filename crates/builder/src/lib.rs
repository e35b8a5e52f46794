//! Builds: from a Dockerfile to an image.
//!
//! A build is a graph of stages; each step that changes files gets a layer of the storage driver, and its upper folder is
//! the result, walked once when the layer becomes part of an image. What a step makes is found again by the content that
//! it was made from. It refuses to start processes, to reach for a network and to know containers: [`Runner`] and
//! [`Sources`] are given by the engine.

mod builder;
mod cache;
mod entitlements;
mod error;
pub mod event;
mod execute;
pub mod files;
mod memory;
mod metadata;
mod plan;
pub mod provenance;
pub mod request;
pub mod runner;
pub mod sources;
#[cfg(test)]
mod tests;
mod tidy;
mod words;

pub use builder::{
    Builder, BuilderParts, Built, CacheEntry, Floors, PruneOptions, Pruned, ResultFile,
};
pub use error::{BuildError, Result};
pub use event::{Event, Progress};
pub use request::BuildRequest;
pub use runner::{RunStep, Runner};
pub use sources::Sources;
