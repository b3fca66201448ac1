//! Metrics, and the HTTP server that hands them out.

mod api;
mod connections;
mod families;
mod http;
mod labels;
mod listen;
mod process;
mod readiness;

pub use api::ApiMetrics;
pub use families::{MAX_LABEL_SETS, Metrics};
pub use http::serve;
pub use listen::{BindError, Listener};
pub use readiness::Readiness;

#[cfg(test)]
mod manifests;
#[cfg(test)]
mod tests;
