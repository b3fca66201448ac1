//! What the cluster says of this node: its pods, and the ServiceAccounts they run as.
//!
//! Kept small on purpose: of a pod's spec and status only what the judgement needs stays in memory.

mod convert;
mod file;
mod kube;
mod mount;
mod parse;
mod pod;
mod raw;
mod service_account;
mod source;
mod store;
mod volume;

pub use file::FileSource;
pub use kube::{AccountTiming, KubeSource, News};
pub use mount::Mount;
pub use parse::{Contents, ParseError, parse};
pub use pod::{Container, CredentialEnv, Pod};
pub use service_account::{ServiceAccount, ServiceAccounts};
pub use source::Source;
pub use store::Store;
pub use volume::{POD_IDENTITY_AUDIENCE, ProjectedVolume, TokenSource};

#[cfg(test)]
pub(crate) mod testing;
