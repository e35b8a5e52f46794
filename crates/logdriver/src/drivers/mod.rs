//! The drivers, one file each.

mod json_file;
mod nothing;
mod options;

pub use json_file::JsonFile;
pub use nothing::Nothing;
pub use options::JsonFileConfig;
