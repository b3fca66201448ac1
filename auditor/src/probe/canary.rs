//! Proof that a hook fires: load and attach may both succeed on a kernel that never runs the program.
//!
//! A canary needs no mount and disturbs nobody: a memfd that is reopened through `/proc/self/fd`, handed to oneself or just held;
//! a loopback listener of our own, and a connect to one; a look at a child of our own; a packet socket that receives nothing.

mod file;
mod memory;
mod socket;

use std::{
    io,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

pub use self::file::held;
use self::socket::ConnectProof;
use super::{
    backend::Hook,
    loader::Maps,
    reader::{Found, Rings},
    record::{Record, decode},
};

/// A run over all processes takes milliseconds for thousands of them.
const LONGEST_RUN: Duration = Duration::from_secs(20);
/// A record is in the ring when the system call returns; the outcome of a connect may come a little later.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum CanaryError {
    #[error("could not play the canary: {0}")]
    Io(#[from] io::Error),
    #[error("could not register the canary: {0}")]
    Map(String),
    #[error("it attached, but its canary did not fire")]
    Silent,
    #[error("a run did not end in {} s: a process holds its memory map locked", LONGEST_RUN.as_secs())]
    Stuck,
    #[error("there were too many other events to find its canary among")]
    Crowded,
}

/// What the file canary learns besides that it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCanary {
    /// Mount namespace of PID 1; `None` when more ancestors lie between than the kernel half walks.
    pub host_mnt_ns: Option<u32>,
    /// The auditor's own cgroup.
    pub own_cgroup: u64,
}

/// What a canary showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The hook has no canary: only real events prove it.
    None,
    Fired,
    File(FileCanary),
}

/// Plays the canary of `hook`, which is watched; connects are too where [`Hook::is_proven_by_connects`]. Used at start and for
/// as long as the auditor runs; records of others that it meets are left for the pipeline.
///
/// # Errors
/// It did not fire, or could not be played.
pub fn prove(
    hook: Hook,
    maps: &mut Maps,
    rings: &mut Rings,
    own_tgid: u32,
) -> Result<Proof, CanaryError> {
    let played = match hook {
        Hook::FileOpen => file::file_open(maps, rings, nonce()).map(Proof::File),
        Hook::Connect => socket::connect(maps, rings, ConnectProof::Connect).map(|()| Proof::Fired),
        Hook::ConnectAttempt => socket::attempt(maps, rings).map(|()| Proof::Fired),
        Hook::ConnectOutcome => {
            socket::connect(maps, rings, ConnectProof::Outcome).map(|()| Proof::Fired)
        }
        Hook::AgentAccept => {
            socket::connect(maps, rings, ConnectProof::Accept).map(|()| Proof::Fired)
        }
        Hook::Listen => socket::listen(maps, rings).map(|()| Proof::Fired),
        Hook::DeniedOpen => file::denied(rings, nonce()).map(|()| Proof::Fired),
        // Cgroups are not ours to make, and commands of exec sessions none of ours.
        Hook::CgroupLifecycle | Hook::ExecSession => Ok(Proof::None),
        // Proven by `held`, which needs the iterators themselves.
        Hook::OpenBefore => Ok(Proof::None),
        Hook::DescriptorReceived => file::received(maps, rings, nonce()).map(|()| Proof::Fired),
        Hook::MemoryAccess => memory::memory(rings, own_tgid).map(|()| Proof::Fired),
        Hook::SocketCreate => socket_create(rings, own_tgid).map(|()| Proof::Fired),
    };
    match played {
        Err(CanaryError::Silent) if rings.is_crowded() => Err(CanaryError::Crowded),
        played => played,
    }
}

pub(super) fn nonce() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

/// Asks for a packet socket of no protocol, which would receive nothing: an attempt, whether or not it is allowed.
fn socket_create(rings: &mut Rings, own_tgid: u32) -> Result<(), CanaryError> {
    drop(rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    ));
    let fired = wait(rings, |bytes| match decode(bytes) {
        Ok(Record::SocketCreate(record)) if record.task.pid == own_tgid => Found::Yes,
        _ => Found::No,
    });
    if fired {
        Ok(())
    } else {
        Err(CanaryError::Silent)
    }
}

fn wait(rings: &mut Rings, mut wanted: impl FnMut(&[u8]) -> Found) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if rings.find(&mut wanted) {
            return true;
        }
        if Instant::now() > deadline || rings.is_crowded() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
