//! The suite with a real kube-apiserver on etcd: the auditor reads pods and ServiceAccounts from it with no other rights than
//! `manifests/rbac` gives, while it is killed, compacted and away. [`installation`]: what an admin does, by the documents.

mod api;
mod control;
mod credentials;
pub mod installation;
mod play;
mod rbac;
mod scene;
mod server;
mod syncer;

pub use play::{Options, run};
pub use server::Programs;
