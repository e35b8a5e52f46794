//! The table of the API: one file per noun, each handler a call of the engine and its answer.

mod archive;
mod build;
mod containers;
mod exec;
mod images;
pub(crate) mod later;
mod networks;
mod old_images;
mod registry;
pub(crate) mod swarm;
mod system;
mod volumes;

use barge_engine::Engine;

use crate::router::Router;

/// All routes. The first that fits wins: within a noun, fixed paths come before those with a wildcard.
pub(crate) fn router() -> Router<Engine> {
    let mut router = Router::default();
    containers::add(&mut router);
    archive::add(&mut router);
    exec::add(&mut router);
    images::add(&mut router);
    build::add(&mut router);
    registry::add(&mut router);
    networks::add(&mut router);
    volumes::add(&mut router);
    system::add(&mut router);
    swarm::add(&mut router);
    later::add(&mut router);
    router
}
