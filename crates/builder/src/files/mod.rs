//! Files of a build: where they come from, which of them an instruction means, what they are, and how they get into a
//! layer.
//!
//! A [`Tree`] is read; [`Tree::select`] finds what `COPY` or `ADD` means; [`Selection::digest`] tells whether it is the same
//! as before, [`Selection::copy`] puts it into a mounted layer. Both ends are hostile: a context can be full of links that
//! want out and can change while it is read, an image's links want out of the layer. So every path is looked up by the
//! kernel with the tree as its root.

mod content;
mod copy;
mod digest;
mod dress;
mod error;
mod made;
mod memory;
mod missing;
mod mode;
mod owner;
mod queue;
mod receive;
mod resolve;
mod select;
mod target;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
mod xattrs;

pub use copy::{Archives, Copied, Placement};
pub use error::FilesError;
pub use made::{download_name, dress_download, write_document};
pub use memory::ChecksumMemory;
pub use mode::ChmodSpec;
pub use owner::resolve_owner;
pub(crate) use receive::LONGEST_DOCKERFILE;
pub use receive::{Received, receive_context};
pub use select::{Selection, TransferRequest};
pub use target::make_folders;
pub use tree::Tree;
pub use unpack::unpack_archive;
