//! The socket in the state directory.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::OFlags,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

pub const NAME: &str = "control.sock";
/// Those who ask at once; more wait in connect(2).
const BACKLOG: i32 = 8;

/// Where it is.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(NAME)
}

/// A listener that only root, or this user, may connect to. Who holds the state directory's lock may replace the one of the run
/// before.
///
/// # Errors
/// Those of the system calls.
pub fn listener(state_dir: &Path) -> io::Result<OwnedFd> {
    let path = path(state_dir);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = Address::of(state_dir)?;
    bind(&socket, &address.unix)?;
    // Nobody can connect before it listens.
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A connection to the auditor that holds this directory. What is read and written waits for `patience` at most, each time.
///
/// # Errors
/// Those of the system calls.
pub fn connection(state_dir: &Path, patience: Duration) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // Of connect(2), too: the queue of those who wait may be full.
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(patience))?;
    let address = Address::of(state_dir)?;
    connect(&socket, &address.unix)?;
    Ok(socket)
}

/// unix(7) allows 107 bytes; a longer path is named through a descriptor of the directory.
struct Address {
    unix: SocketAddrUnix,
    _directory: Option<File>,
}

impl Address {
    fn of(state_dir: &Path) -> io::Result<Self> {
        if let Ok(unix) = SocketAddrUnix::new(path(state_dir)) {
            return Ok(Self {
                unix,
                _directory: None,
            });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(state_dir)?;
        let short = format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd());
        Ok(Self {
            unix: SocketAddrUnix::new(&short)?,
            _directory: Some(directory),
        })
    }
}
