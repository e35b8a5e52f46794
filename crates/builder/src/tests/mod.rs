//! Whole builds on a real storage driver, with steps that are real processes in a `chroot`.

mod arguments;
mod bounds;
mod cache;
mod contexts;
mod copies;
mod elsewhere;
mod failures;
mod fetches;
mod images;
mod links;
mod mounts;
mod outline;
mod stages;
mod workshop;

use workshop::{Workshop, workshop, workshop_on};
