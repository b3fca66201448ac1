//! Proof that a hook fires: load and attach may both succeed on a kernel that never runs the program.
//!
//! A canary needs no mount and disturbs nobody: a memfd reopened through `/proc/self/fd`, and a connect to a loopback
//! listener of our own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use auditor_common::{CANARY_ENDPOINT, VolumeEntry, VolumeIdentity, class, components};

use super::{
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
}

/// What the file canary learns besides that it fires.
#[derive(Clone, Copy, Debug)]
pub struct FileCanary {
    /// Mount namespace of PID 1; `None` when more ancestors lie between than the kernel half walks.
    pub host_mnt_ns: Option<u32>,
    /// The auditor's own cgroup.
    pub own_cgroup: u64,
}

/// Reopens a memfd; its superblock is the kernel's own tmpfs.
pub fn file_open(
    maps: &mut Maps,
    rings: &mut Rings,
    nonce: u64,
) -> Result<FileCanary, CanaryError> {
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

/// Connects to a listener of our own. Proves the connect hook, and with `outcome` the outcome's.
pub fn connect(maps: &mut Maps, rings: &mut Rings, outcome: bool) -> Result<(), CanaryError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address: SocketAddr = listener.local_addr()?;
    maps.set_endpoint(address, CANARY_ENDPOINT)
        .map_err(CanaryError::Map)?;
    let played =
        (|| {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            let fired =
                wait(rings, |bytes| match decode(bytes) {
                    Ok(Record::Connect(record)) if record.endpoint == CANARY_ENDPOINT => {
                        if outcome { Found::Mine } else { Found::Yes }
                    }
                    Ok(Record::Outcome(record) | Record::Closed(record))
                        if record.endpoint == CANARY_ENDPOINT =>
                    {
                        if outcome {
                            Found::Yes
                        } else {
                            Found::Mine
                        }
                    }
                    _ => Found::No,
                });
            drop(stream);
            if fired {
                Ok(())
            } else {
                Err(CanaryError::Silent)
            }
        })();
    maps.remove_endpoint(address);
    played
}

fn wait(rings: &mut Rings, mut wanted: impl FnMut(&[u8]) -> Found) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if rings.find(&mut wanted) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
