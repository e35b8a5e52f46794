//! What the fuzz targets do.

pub mod context;
pub mod dockerfile;
pub mod manifest;
pub mod reference;
pub mod tar;
