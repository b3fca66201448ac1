//! The suite with a real Prometheus: it scrapes the real auditor, with the labels that a PodMonitor gives a target, while scenes are
//! played; the alerts of `manifests/alerts` must fire, for the workloads and not for the auditor, and no others.

mod api;
mod play;
mod queries;
mod server;
mod simulation;
mod watch;
mod watched;

pub use play::{Options, run};
