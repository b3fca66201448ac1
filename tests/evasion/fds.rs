//! Descriptors in messages (SCM_RIGHTS).

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
};

use anyhow::{Context, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

pub fn send(socket: &UnixStream, file: impl AsFd) -> Result<()> {
    let files = [file.as_fd()];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut room);
    control.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(
        socket,
        &[IoSlice::new(b"!")],
        &mut control,
        SendFlags::empty(),
    )?;
    Ok(())
}

pub fn receive(socket: &UnixStream) -> Result<OwnedFd> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0; 1];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        flags,
    )?;
    let mut files = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    files.next().context("the message brings no descriptor")
}

/// Waits at a socket in the pods' common directory, sends `file` to whoever comes, and closes its own.
pub fn serve(path: &str, file: impl AsFd, ready: &mut dyn FnMut()) -> Result<()> {
    let listener = UnixListener::bind(path).with_context(|| path.to_owned())?;
    ready();
    send(&listener.accept()?.0, &file)?;
    drop(file);
    crate::common::stay()
}

pub fn fetch(path: &str) -> Result<OwnedFd> {
    receive(&UnixStream::connect(path).with_context(|| path.to_owned())?)
}
