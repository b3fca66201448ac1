//! Descriptors in messages (SCM_RIGHTS), from one pod to another.

use std::os::{
    fd::{AsFd, OwnedFd},
    unix::net::{UnixListener, UnixStream},
};

use anyhow::{Context, Result};
use lab::sys::passing;

/// Waits at a socket in the pods' common directory, sends `file` to whoever comes, and closes its own.
pub fn serve(path: &str, file: impl AsFd, ready: &mut dyn FnMut()) -> Result<()> {
    let listener = UnixListener::bind(path).with_context(|| path.to_owned())?;
    ready();
    passing::send(&listener.accept()?.0, file.as_fd())?;
    drop(file);
    crate::common::stay()
}

pub fn fetch(path: &str) -> Result<OwnedFd> {
    passing::receive(&UnixStream::connect(path).with_context(|| path.to_owned())?)
}
