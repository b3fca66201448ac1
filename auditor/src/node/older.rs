//! Token files that processes have open or mapped, from `/proc`: where the kernel has no iterators.
//!
//! Files are known by device and inode; nothing is opened. Needs CAP_SYS_PTRACE; what cannot be read is passed over.

use std::{
    collections::HashMap,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use auditor_common::{FileInfo, Header, HeldRecord, VolumeIdentity, backend, class, held, kind};
use zerocopy::FromZeros as _;

use super::{Clock, older_task::Processes};
use crate::probe::Device;

/// include/uapi/asm-generic/fcntl.h
const O_PATH: u32 = 0o10_000_000;

/// One of them.
#[derive(Debug)]
pub struct OlderFile {
    pub record: HeldRecord,
    /// Where `/proc` told of the process: its cgroup's path, to be looked up in place of `record.task.cgroup_id`.
    pub cgroup: Option<String>,
    /// The same of its container's init.
    pub reaper_cgroup: Option<String>,
}

/// Volumes to look for.
pub type Wanted = HashMap<Device, VolumeIdentity>;

/// Hands each file to `each` until that says no.
pub fn find(host_proc: &Path, wanted: &Wanted, mut each: impl FnMut(OlderFile) -> bool) {
    if wanted.is_empty() {
        return;
    }
    let processes = Processes::read(host_proc);
    for pid in processes.pids() {
        let path = host_proc.join(pid.to_string());
        let mut files = open_files(&path, wanted);
        files.extend(mapped_files(&path, wanted));
        if files.is_empty() {
            continue;
        }
        let Some(described) = processes.describe(pid) else {
            continue;
        };
        for (how, file) in files {
            let mut record = HeldRecord::new_zeroed();
            record.header = Header {
                kind: kind::HELD,
                backend: backend::PROC,
                len: size_of::<HeldRecord>() as u32,
                time: Clock::boot_ns(),
            };
            record.how = how;
            record.file = file;
            record.task = described.task;
            let found = OlderFile {
                record,
                cgroup: described.cgroup.clone(),
                reaper_cgroup: described.reaper_cgroup.clone(),
            };
            if !each(found) {
                return;
            }
        }
    }
}

fn open_files(process: &Path, wanted: &Wanted) -> Vec<(u32, FileInfo)> {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for descriptor in descriptors.flatten() {
        // Follows the link to the open file itself, whatever its name is by now.
        let Ok(metadata) = fs::metadata(descriptor.path()) else {
            continue;
        };
        let device = Device::from_stat(metadata.dev());
        let Some(identity) = wanted.get(&device).filter(|_| metadata.is_file()) else {
            continue;
        };
        let information = fs::read_to_string(process.join("fdinfo").join(descriptor.file_name()));
        let flags = information.ok().and_then(|text| open_flags(&text));
        // Nothing can be read through it.
        if flags.is_some_and(|flags| flags & O_PATH != 0) {
            continue;
        }
        let link = fs::read_link(descriptor.path()).unwrap_or_default();
        let mut file = file(device, *identity, metadata.ino(), &link);
        file.nlink = u32::try_from(metadata.nlink()).unwrap_or(u32::MAX);
        if let Some(flags) = flags {
            file.flags = flags;
            // `OPEN_FMODE`, include/linux/fs.h
            file.mode = flags.wrapping_add(1) & 3;
        }
        files.push((held::DESCRIPTOR, file));
    }
    files
}

/// `flags:` of `/proc/PID/fdinfo/FD`, octal.
pub(super) fn open_flags(text: &str) -> Option<u32> {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

fn mapped_files(process: &Path, wanted: &Wanted) -> Vec<(u32, FileInfo)> {
    let maps = fs::read(process.join("maps")).unwrap_or_default();
    let mut files: Vec<(u32, FileInfo)> = Vec::new();
    for mapping in maps.split(|byte| *byte == b'\n').filter_map(mapping) {
        let Some(identity) = wanted.get(&mapping.device) else {
            continue;
        };
        // A file may be mapped in parts.
        if files
            .iter()
            .any(|(_, file)| (file.dev, file.ino) == (mapping.device.kernel(), mapping.ino))
        {
            continue;
        }
        let mut file = file(mapping.device, *identity, mapping.ino, &mapping.path);
        // Another name may be gone: what a rotation removed has none.
        file.nlink = 1;
        files.push((held::MAPPING, file));
    }
    files
}

pub(super) struct Mapping {
    device: Device,
    pub ino: u64,
    pub path: PathBuf,
}

/// `start-end perms offset major:minor inode path`, the device in hexadecimal.
pub(super) fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line
        .splitn(6, |byte| *byte == b' ')
        .map(|field| std::str::from_utf8(field).ok());
    let device = fields.nth(3)??;
    let ino = fields.next()??.parse().ok().filter(|ino| *ino != 0)?;
    let (major, minor) = device.split_once(':')?;
    let path = line.splitn(6, |byte| *byte == b' ').nth(5)?;
    Some(Mapping {
        device: Device {
            major: u32::from_str_radix(major, 16).ok()?,
            minor: u32::from_str_radix(minor, 16).ok()?,
        },
        ino,
        path: Path::new(std::ffi::OsStr::from_bytes(path.trim_ascii_start())).to_owned(),
    })
}

fn file(device: Device, identity: VolumeIdentity, ino: u64, path: &Path) -> FileInfo {
    let mut file = FileInfo::new_zeroed();
    file.identity = identity;
    file.ino = ino;
    file.dev = device.kernel();
    file.class = class::TOKEN;
    file.volume_path_len = leaf_first(&within_volume(path), &mut file.volume_path);
    file
}

/// The components below the volume's root, as far as a path tells: from the atomic writer's directory (`..2026_11_22_…`) on,
/// else the last.
fn within_volume(path: &Path) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = path
        .iter()
        .map(|name| name.as_bytes())
        .filter(|name| *name != b"/")
        .collect();
    if let Some(last) = names.last_mut() {
        *last = last.strip_suffix(b" (deleted)").unwrap_or(last);
    }
    let from = names
        .iter()
        .rposition(|name| name.starts_with(b".."))
        .unwrap_or(names.len().saturating_sub(1));
    names.split_off(from)
}

/// As the kernel half writes them; what does not fit is left out.
pub(super) fn leaf_first(names: &[&[u8]], buffer: &mut [u8]) -> u32 {
    let mut used = 0;
    for name in names.iter().rev() {
        let end = used + name.len();
        // A NUL behind each.
        let Some(space) = buffer.get_mut(used..=end) else {
            break;
        };
        space[..name.len()].copy_from_slice(name);
        space[name.len()] = 0;
        used = end + 1;
    }
    used as u32
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_held_file_is_found_with_its_process() {
        let memfd = rustix::fs::memfd_create("older", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let path = format!("/proc/self/fd/{}", memfd.as_raw_fd());
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let by_path = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
        let stat = rustix::fs::fstat(&memfd).unwrap();
        let device = Device::from_stat(stat.st_dev);
        let identity = VolumeIdentity {
            fsid: 7,
            superblock: 0,
        };
        let wanted = Wanted::from([(device, identity)]);
        let mut found = Vec::new();
        find(Path::new("/proc"), &wanted, |older| {
            let record = &older.record;
            if record.task.pid == std::process::id() && record.file.ino == stat.st_ino {
                found.push(older);
            }
            true
        });
        drop(by_path);
        // Once: through the descriptor that only names it, nothing can be read.
        assert_eq!(found.len(), 1);
        let record = &found[0].record;
        assert_eq!(record.how, held::DESCRIPTOR);
        assert_eq!(record.file.identity, identity);
        assert_eq!(record.file.mode, 3);
        assert!(found[0].cgroup.is_some());
        assert!(record.task.start_time > 0);
        find(Path::new("/proc"), &Wanted::new(), |_| {
            panic!("nothing is wanted")
        });
    }

    #[test]
    fn lines_of_maps() {
        let read = |line: &str| mapping(line.as_bytes());
        let found = read("7f0-7f1 r--s 00000000 00:2a 5      /v/..2026/token (deleted)").unwrap();
        let device = Device {
            major: 0,
            minor: 42,
        };
        assert_eq!((found.device, found.ino), (device, 5));
        assert_eq!(within_volume(&found.path), [&b"..2026"[..], b"token"]);
        for other in [
            "",
            "7f0-7f1 rw-p 00000000 00:00 0 ",
            "7f0-7f1 rw-p 00000000 00:00 0      [heap]",
            "7f0-7f1 rw-p 00000000 zz:00 1 /x",
            "7f0-7f1 rw-p",
        ] {
            assert!(read(other).is_none(), "{other}");
        }
    }

    #[test]
    fn paths_end_up_as_the_kernel_half_writes_them() {
        for (path, expected) in [
            ("/a/volumes/v/..2026_11/token", &b"token\0..2026_11\0"[..]),
            ("/a/v/..2026_11/c/b", b"b\0c\0..2026_11\0"),
            ("/tmp/link", b"link\0"),
            ("/", b""),
            ("", b""),
        ] {
            let mut buffer = [0; 64];
            let used = leaf_first(&within_volume(Path::new(path)), &mut buffer);
            assert_eq!(&buffer[..used as usize], expected, "{path}");
        }
        let mut small = [0; 8];
        let used = leaf_first(&[b"longer-than-it", b"leaf"], &mut small);
        assert_eq!(&small[..used as usize], b"leaf\0");
    }

    #[test]
    fn flags_are_octal() {
        assert_eq!(open_flags("pos:\t0\nflags:\t0100002\n"), Some(0o100_002));
        assert_eq!(open_flags("pos:\t0\n"), None);
    }
}
