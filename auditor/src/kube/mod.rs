//! The Kubernetes API server, as far as the auditor needs it: connecting, single reads, and list-watches that go on by
//! themselves whatever the server does.
//!
//! On kube-client's primitives and not on kube-runtime's `watcher`: that one hides bookmarks, so that nobody can tell when
//! the server was last heard, and has no way back from streaming lists to paged ones.

mod answer;
mod api;
mod backoff;
mod client;
mod event;
mod failure;
mod lines;
mod list_watch;
mod page;
mod resource;
mod timing;
mod trouble;

pub use api::Api;
pub use backoff::{Backoff, jitter};
pub use client::{ConnectError, connect};
pub use failure::Failure;
pub use list_watch::{Change, ListWatch};
pub use resource::Resource;
pub use timing::Timing;
pub(crate) use trouble::Trouble;

#[cfg(test)]
pub(crate) mod testing;
