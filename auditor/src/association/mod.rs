//! Pod Identity associations: which ServiceAccount is bound to which role.

pub mod ack;
pub mod config_map;
mod document;
mod file;
mod ledger;
mod live;
mod parse;
mod poll;
mod snapshot;
mod source;
mod watch;

pub use document::{Heading, encode};
pub use file::FileSource;
pub use ledger::{Ledger, Reading};
pub use live::{Heard, LiveSource};
pub use parse::{Listing, Page, ParseError, parse, parse_one, parse_page};
pub use poll::poll_eks;
pub use snapshot::{ABSENCE_MARGIN, Association, Snapshot};
pub use source::Source;
pub use watch::watch_config_map;

#[cfg(test)]
pub(crate) mod testing;
