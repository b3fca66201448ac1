//! Proof that a hook fires: load and attach may both succeed on a kernel that never runs the program.
//!
//! A canary needs no mount and disturbs nobody: a memfd that is reopened through `/proc/self/fd`, handed to oneself or just held;
//! a loopback listener of our own, and a connect to one; a look at a child of our own; a packet socket that receives nothing.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, PipeReader, Write as _},
    mem::MaybeUninit,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use auditor_common::{
    AcceptRecord, CANARY_ENDPOINT, FileInfo, ListenRecord, OpenRecord, OutcomeRecord,
    ReceivedRecord, VolumeEntry, VolumeIdentity, class, components, held, prefix,
};
use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType,
    },
    thread::CapabilitySet,
};

use super::{
    backend::Hook,
    device::Device,
    iterator,
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
        Hook::FileOpen => file_open(maps, rings, nonce()).map(Proof::File),
        Hook::Connect => connect(maps, rings, ConnectProof::Connect).map(|()| Proof::Fired),
        Hook::ConnectAttempt => attempt(maps, rings).map(|()| Proof::Fired),
        Hook::ConnectOutcome => connect(maps, rings, ConnectProof::Outcome).map(|()| Proof::Fired),
        Hook::AgentAccept => connect(maps, rings, ConnectProof::Accept).map(|()| Proof::Fired),
        Hook::Listen => listen(maps, rings).map(|()| Proof::Fired),
        Hook::DeniedOpen => denied(rings, nonce()).map(|()| Proof::Fired),
        // Cgroups are not ours to make, and commands of exec sessions none of ours.
        Hook::CgroupLifecycle | Hook::ExecSession => Ok(Proof::None),
        // Proven by `held`, which needs the iterators themselves.
        Hook::OpenBefore => Ok(Proof::None),
        Hook::DescriptorReceived => received(maps, rings, nonce()).map(|()| Proof::Fired),
        Hook::MemoryAccess => memory(rings, own_tgid).map(|()| Proof::Fired),
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

/// Reopens a memfd; its superblock is the kernel's own tmpfs.
fn file_open(maps: &mut Maps, rings: &mut Rings, nonce: u64) -> Result<FileCanary, CanaryError> {
    with_memfd(maps, nonce, |memfd, expected| {
        File::open(format!("/proc/self/fd/{}", memfd.as_raw_fd()))?;
        let mut found = None;
        wait(rings, |bytes| match decode(bytes) {
            Ok(Record::Open(open)) if open.file.class == class::CANARY => {
                if !is_called(&open.file, expected) {
                    return Found::Mine;
                }
                let file = &open.file;
                found = Some(FileCanary {
                    host_mnt_ns: (file.top_mnt_ns != 0).then_some(file.top_mnt_ns),
                    own_cgroup: open.task.cgroup_id,
                });
                Found::Yes
            }
            _ => Found::No,
        });
        found.ok_or(CanaryError::Silent)
    })
}

/// Sends itself the descriptor of a memfd.
fn received(maps: &mut Maps, rings: &mut Rings, nonce: u64) -> Result<(), CanaryError> {
    with_memfd(maps, nonce, |memfd, expected| {
        hand_over(memfd.as_fd())?;
        let fired = wait(rings, |bytes| match decode(bytes) {
            Ok(Record::ReceivedFile(record)) if is_called(&record.file, expected) => Found::Yes,
            Ok(Record::ReceivedFile(ReceivedRecord { file, .. })) => is_canary(file),
            // The memfd may be opened anew by whoever looks at this process.
            Ok(Record::Open(OpenRecord { file, .. })) => is_canary(file),
            _ => Found::No,
        });
        if fired {
            Ok(())
        } else {
            Err(CanaryError::Silent)
        }
    })
}

/// Has a memfd open and mapped while the iterators run.
pub fn held(maps: &mut Maps, runs: Vec<File>, nonce: u64) -> Result<(), CanaryError> {
    with_memfd(maps, nonce, |memfd, expected| {
        const LENGTH: usize = 1;
        // SAFETY: the kernel chooses the place, and nothing is read or written there.
        let mapping = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                LENGTH,
                rustix::mm::ProtFlags::empty(),
                rustix::mm::MapFlags::PRIVATE,
                memfd,
                0,
            )
        }
        .map_err(io::Error::from)?;
        let read = how_held(runs, expected.to_owned());
        // SAFETY: mapped above, and nothing refers to it.
        unsafe { rustix::mm::munmap(mapping, LENGTH) }.map_err(io::Error::from)?;
        if read? == held::DESCRIPTOR | held::MAPPING {
            Ok(())
        } else {
            Err(CanaryError::Silent)
        }
    })
}

/// How the iterators see the file of that name held. In a thread that may be left behind: a run waits for whoever has its memory
/// map locked (kernel/bpf/task_iter.c `mmap_read_lock_killable`), which a process on a dead network filesystem may have for ever.
fn how_held(runs: Vec<File>, expected: String) -> Result<u32, CanaryError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("held-canary".to_owned())
        .spawn(move || {
            let mut found = 0;
            let read = runs.into_iter().try_for_each(|mut run| {
                iterator::read(&mut run, |bytes| {
                    if let Ok(Record::Held(record)) = decode(bytes)
                        && is_called(&record.file, &expected)
                    {
                        found |= record.how;
                    }
                    true
                })
            });
            // Nobody waits any longer.
            let _ = sender.send(read.map(|()| found));
        })?;
    match receiver.recv_timeout(LONGEST_RUN) {
        Ok(read) => Ok(read?),
        Err(_) => Err(CanaryError::Stuck),
    }
}

/// SCM_RIGHTS to oneself.
fn hand_over(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let (from, to) = UnixDatagram::pair()?;
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    message.push(SendAncillaryMessage::ScmRights(&descriptors));
    let byte = [IoSlice::new(b"-")];
    rustix::net::sendmsg(&from, &byte, &mut message, SendFlags::empty())?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    // Closes what arrived when dropped.
    let mut arrived = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(&to, &mut buffers, &mut arrived, RecvFlags::CMSG_CLOEXEC)?;
    Ok(())
}

/// Plays with a memfd of that name while its superblock, the kernel's own tmpfs, is registered as the canary's.
fn with_memfd<T>(
    maps: &mut Maps,
    nonce: u64,
    play: impl FnOnce(&OwnedFd, &str) -> Result<T, CanaryError>,
) -> Result<T, CanaryError> {
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
            owner: 0,
            class: class::CANARY,
            reserved: 0,
        },
    )
    .map_err(CanaryError::Map)?;
    let played = play(&memfd, &format!("memfd:{name}"));
    maps.remove_volume(device);
    played
}

fn is_called(file: &FileInfo, name: &str) -> bool {
    file.class == class::CANARY
        && components(&file.volume_path, file.volume_path_len)
            .next()
            .is_some_and(|found| found == name.as_bytes())
}

fn is_canary(file: &FileInfo) -> Found {
    if file.class == class::CANARY {
        Found::Mine
    } else {
        Found::No
    }
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

/// Connects where no TCP goes: to multicast addresses, which neither IPv4 nor IPv6 lets it try (net/ipv4/tcp_ipv4.c
/// `tcp_v4_connect`, net/ipv6/tcp_ipv6.c `tcp_v6_connect`).
fn attempt(maps: &mut Maps, rings: &mut Rings) -> Result<(), CanaryError> {
    attempt_to(maps, rings, (Ipv4Addr::new(224, 0, 0, 1), 9).into())?;
    match attempt_to(
        maps,
        rings,
        (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 9).into(),
    ) {
        // ipv6.disable=1: nobody can connect there.
        Err(CanaryError::Io(error)) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => Ok(()),
        played => played,
    }
}

fn attempt_to(maps: &mut Maps, rings: &mut Rings, address: SocketAddr) -> Result<(), CanaryError> {
    with_endpoint(maps, address, || {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => {
                return Err(io::Error::other("connected to a multicast address").into());
            }
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
                return Err(error.into());
            }
            Err(_) => {}
        }
        Ok(wait(rings, |bytes| match decode(bytes) {
            Ok(Record::Connect(record)) => is_mine(record.endpoint),
            Ok(Record::Outcome(record)) if record.endpoint == CANARY_ENDPOINT => Found::Yes,
            _ => Found::No,
        }))
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
            match File::open(&path) {
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

/// Opens the memory of a child of our own: a thread of ours would not be asked about.
fn memory(rings: &mut Rings, own_tgid: u32) -> Result<(), CanaryError> {
    let child = PausedChild::spawn()?;
    let path = format!("/proc/{}/mem", child.child.id());
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A security module may refuse it behind the hook (Yama's ptrace_scope 3).
        let opened = File::open(&path);
        let fired = rings.find(|bytes| match decode(bytes) {
            Ok(Record::Memory(record)) if record.task.pid == own_tgid => Found::Yes,
            _ => Found::No,
        });
        match opened {
            _ if fired => return Ok(()),
            // Once more: a spawned child lets its parent go on before it has left the parent's memory (fs/exec.c `exec_mmap`), and
            // until it has, nobody is asked (kernel/fork.c `mm_access`).
            _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(_) => return Err(CanaryError::Silent),
            Err(error) => return Err(error.into()),
        }
    }
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

/// The auditor's own program, which stands still as soon as it wants to say its version: its output is full.
struct PausedChild {
    child: Child,
    /// Never read.
    _output: PipeReader,
}

impl PausedChild {
    fn spawn() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        let mut filling = &writer;
        loop {
            match filling.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        rustix::io::ioctl_fionbio(&writer, false)?;
        let child = Command::new("/proc/self/exe")
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            _output: reader,
        })
    }
}

impl Drop for PausedChild {
    fn drop(&mut self) {
        // It has nothing to lose; one that is gone already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
