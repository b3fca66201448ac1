//! Proof that a hook fires: load and attach may both succeed on a kernel that never runs the program.
//!
//! A canary needs no mount and disturbs nobody: a memfd reopened through `/proc/self/fd`, a loopback listener of our own, and
//! a connect to one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use auditor_common::{
    AcceptRecord, CANARY_ENDPOINT, ListenRecord, OutcomeRecord, VolumeEntry, VolumeIdentity, class,
    components, prefix,
};
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType},
    thread::CapabilitySet,
};

use super::{
    backend::Hook,
    device::Device,
    loader::Maps,
    reader::{Found, Rings},
    record::{Record, decode},
};

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
    _own_tgid: u32,
) -> Result<Proof, CanaryError> {
    let played = match hook {
        Hook::FileOpen => file_open(maps, rings, nonce()).map(Proof::File),
        Hook::Connect => connect(maps, rings, ConnectProof::Connect).map(|()| Proof::Fired),
        Hook::ConnectOutcome => connect(maps, rings, ConnectProof::Outcome).map(|()| Proof::Fired),
        Hook::AgentAccept => connect(maps, rings, ConnectProof::Accept).map(|()| Proof::Fired),
        Hook::Listen => listen(maps, rings).map(|()| Proof::Fired),
        Hook::DeniedOpen => denied(rings, nonce()).map(|()| Proof::Fired),
        // Cgroups are not ours to make, and commands of exec sessions none of ours.
        Hook::CgroupLifecycle | Hook::ExecSession => Ok(Proof::None),
        Hook::DescriptorReceived | Hook::MemoryAccess | Hook::SocketCreate => Ok(Proof::None),
    };
    match played {
        Err(CanaryError::Silent) if rings.is_crowded() => Err(CanaryError::Crowded),
        played => played,
    }
}

fn nonce() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

/// Reopens a memfd; its superblock is the kernel's own tmpfs.
fn file_open(maps: &mut Maps, rings: &mut Rings, nonce: u64) -> Result<FileCanary, CanaryError> {
    let name = format!("auditor-canary-{nonce:x}");
    let memfd = rustix::fs::memfd_create(name.as_str(), rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(io::Error::from)?;
    let device = rustix::fs::fstat(&memfd).map_err(io::Error::from)?.st_dev;
    let fsid = rustix::fs::fstatvfs(&memfd)
        .map_err(io::Error::from)?
        .f_fsid;
    let identity = VolumeIdentity {
        fsid,
        superblock: 0,
    };
    let device = Device::from_stat(device);
    maps.set_volume(
        device,
        VolumeEntry {
            identity,
            class: class::CANARY,
            reserved: 0,
        },
    )
    .map_err(CanaryError::Map)?;
    let played = (|| {
        std::fs::File::open(format!("/proc/self/fd/{}", memfd.as_raw_fd()))?;
        let expected = format!("memfd:{name}");
        let mut found = None;
        wait(rings, |bytes| match decode(bytes) {
            Ok(Record::Open(open)) if open.file.class == class::CANARY => {
                let file = &open.file;
                let is_it = components(&file.volume_path, file.volume_path_len)
                    .next()
                    .is_some_and(|found| found == expected.as_bytes());
                if !is_it {
                    return Found::Mine;
                }
                found = Some(FileCanary {
                    host_mnt_ns: (file.top_mnt_ns != 0).then_some(file.top_mnt_ns),
                    own_cgroup: open.task.cgroup_id,
                });
                Found::Yes
            }
            _ => Found::No,
        });
        found.ok_or(CanaryError::Silent)
    })();
    maps.remove_volume(device);
    played
}

/// What a connect of our own is to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectProof {
    Connect,
    Outcome,
    /// That the listener's side is seen, and matched to the connect.
    Accept,
}

/// Connects to a listener of our own.
fn connect(maps: &mut Maps, rings: &mut Rings, proof: ConnectProof) -> Result<(), CanaryError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address: SocketAddr = listener.local_addr()?;
    with_endpoint(maps, address, || {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        let fired = wait(rings, |bytes| {
            let (proves, endpoint) = match decode(bytes) {
                Ok(Record::Connect(record)) => (ConnectProof::Connect, record.endpoint),
                Ok(Record::Outcome(record)) => (ConnectProof::Outcome, record.endpoint),
                // One that no connect was seen of proves only half.
                Ok(Record::Accept(record)) if record.matched == 1 => {
                    (ConnectProof::Accept, record.endpoint)
                }
                Ok(
                    Record::Accept(AcceptRecord { endpoint, .. })
                    | Record::Closed(OutcomeRecord { endpoint, .. })
                    | Record::Listen(ListenRecord { endpoint, .. }),
                ) => return is_mine(*endpoint),
                _ => return Found::No,
            };
            match is_mine(endpoint) {
                Found::Mine if proves == proof => Found::Yes,
                found => found,
            }
        });
        drop(stream);
        Ok(fired)
    })
}

/// Listens, once the address is registered.
fn listen(maps: &mut Maps, rings: &mut Rings) -> Result<(), CanaryError> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(io::Error::from)?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    rustix::net::bind(&socket, &any_port).map_err(io::Error::from)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    with_endpoint(maps, address, || {
        rustix::net::listen(&listener, 1).map_err(io::Error::from)?;
        Ok(wait(rings, |bytes| match decode(bytes) {
            Ok(Record::Listen(record)) if record.endpoint == CANARY_ENDPOINT => Found::Yes,
            _ => Found::No,
        }))
    })
}

/// Has an open of our own refused: in a thread that gave up its capabilities, a memfd that nobody may open.
fn denied(rings: &mut Rings, nonce: u64) -> Result<(), CanaryError> {
    let name = format!("auditor-canary-{nonce:x}");
    let memfd = rustix::fs::memfd_create(name.as_str(), rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(io::Error::from)?;
    rustix::fs::fchmod(&memfd, rustix::fs::Mode::empty()).map_err(io::Error::from)?;
    let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
    let refused = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut sets = rustix::thread::capabilities(None)?;
            sets.effective = CapabilitySet::empty();
            rustix::thread::set_capabilities(None, sets)?;
            match std::fs::File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(io::Error::other("an open that should be refused was not")),
            }
        });
        thread.join()
    });
    refused.unwrap_or_else(|_| Err(io::Error::other("the canary's thread panicked")))?;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let found = rings.find_denied(|bytes| match decode(bytes) {
            Ok(Record::Denied(record))
                if prefix(&record.path, record.path_len) == path.as_bytes() =>
            {
                Found::Yes
            }
            _ => Found::No,
        });
        if found {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(CanaryError::Silent)
}

fn is_mine(endpoint: u32) -> Found {
    if endpoint == CANARY_ENDPOINT {
        Found::Mine
    } else {
        Found::No
    }
}

/// Plays while `address` is registered as the canary's; whether it fired.
fn with_endpoint(
    maps: &mut Maps,
    address: SocketAddr,
    play: impl FnOnce() -> Result<bool, CanaryError>,
) -> Result<(), CanaryError> {
    maps.set_endpoint(address, CANARY_ENDPOINT)
        .map_err(CanaryError::Map)?;
    let played = play();
    maps.remove_endpoint(address);
    if played? {
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
