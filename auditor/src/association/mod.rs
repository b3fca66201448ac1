//! Pod Identity associations: which ServiceAccount is bound to which role.

mod file;
mod parse;
mod snapshot;

pub use file::FileSource;
pub use parse::{Listing, ParseError, parse};
pub use snapshot::{Association, Snapshot};
