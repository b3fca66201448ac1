//! Pod Identity associations: which ServiceAccount is bound to which role.

mod file;
mod live;
mod parse;
mod snapshot;
mod source;

pub use file::FileSource;
pub use live::{Heard, LiveSource};
pub use parse::{Listing, ParseError, parse};
pub use snapshot::{Association, Snapshot};
pub use source::Source;
