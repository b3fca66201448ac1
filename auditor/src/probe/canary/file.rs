//! A memfd of our own: opened anew, refused, handed to oneself, or just held.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    sync::mpsc,
    time::{Duration, Instant},
};

use auditor_common::{
    FileInfo, OpenRecord, ReceivedRecord, VolumeEntry, VolumeIdentity, class, components, held,
    prefix,
};
use rustix::{
    net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags},
    thread::CapabilitySet,
};

use super::{CanaryError, FileCanary, LONGEST_RUN, PATIENCE, wait};
use crate::probe::{
    device::Device,
    iterator,
    loader::Maps,
    reader::{Found, Rings},
    record::{Record, decode},
};

/// Reopens a memfd; its superblock is the kernel's own tmpfs.
pub(super) fn file_open(
    maps: &mut Maps,
    rings: &mut Rings,
    nonce: u64,
) -> Result<FileCanary, CanaryError> {
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
pub(super) fn received(maps: &mut Maps, rings: &mut Rings, nonce: u64) -> Result<(), CanaryError> {
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

/// Has an open of our own refused: in a thread that gave up its capabilities, a memfd that nobody may open.
pub(super) fn denied(rings: &mut Rings, nonce: u64) -> Result<(), CanaryError> {
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
