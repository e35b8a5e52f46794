//! Typed rtnetlink requests: links, addresses, routes, neighbours; and the framing of nfnetlink.
//!
//! No policy: what is asked for goes to the kernel, what the kernel says comes back. Blocking and without a runtime. A
//! [`Request`] is a value; a [`Socket`] sends several at once and collects their acknowledgements.

pub mod address;
mod error;
pub mod link;
mod message;
pub mod neighbour;
pub mod nfnetlink;
pub mod route;
mod socket;

pub use error::{NetlinkError, Result};
pub use message::{Attributes, Mode, Payload, Request};
pub use socket::{Family, Socket};
