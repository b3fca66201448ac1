//! Why a scene was not played, or not at all in this place.

use std::{io, path::PathBuf, time::Duration};

use thiserror::Error;

#[derive(Debug, Error)]
pub enum Refusal {
    #[error("this is no pod of the simulation: {path}: {source}", path = .path.display())]
    NotHere { path: PathBuf, source: io::Error },
    #[error("{path} holds {found:?}, which is no {what}", path = .path.display())]
    BadMark {
        path: PathBuf,
        found: String,
        what: &'static str,
    },
    #[error("it is the scene of a pod with the component {wanted:?}, and this one's is {here:?}")]
    OtherActor { wanted: &'static str, here: String },
    #[error("cannot see the kubelet's pods below {path}: {source}", path = .path.display())]
    NoPods { path: PathBuf, source: io::Error },
    #[error(
        "no victim of the namespace {namespace} appeared below {path} within {seconds} s; is it on this node?",
        path = .path.display(), seconds = .waited.as_secs()
    )]
    NoVictim {
        namespace: String,
        path: PathBuf,
        waited: Duration,
    },
    #[error("cannot open {path}: {source}", path = .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot copy this program into memory: {0}")]
    Copy(io::Error),
    #[error("the copy in memory does not run: {0}")]
    CopyDoesNotRun(io::Error),
    #[error("the copy in memory ended with {status}: {said}")]
    CopyFailed {
        status: std::process::ExitStatus,
        said: String,
    },
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: std::net::SocketAddr,
        source: io::Error,
    },
    #[error("the agent does not answer ({0}); it raises nothing where none runs on the node")]
    NoAgent(String),
    #[error("no packet socket: {0}")]
    Socket(io::Error),
}
