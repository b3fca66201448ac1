//! BPF objects by the ids that the kernel gives them. An id is not given again while the machine is up, so what an id names is
//! nobody else's.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind},
    os::fd::{FromRawFd, OwnedFd},
};

use anyhow::{Context, Result};

/// include/uapi/linux/bpf.h `enum bpf_cmd`.
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const LINK_GET_FD_BY_ID: libc::c_long = 30;

/// What a process holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Objects {
    pub programs: BTreeSet<u32>,
    pub maps: BTreeSet<u32>,
    pub links: BTreeSet<u32>,
}

impl Objects {
    /// By its descriptors (`/proc/PID/fdinfo`), and of what its links run the programs.
    ///
    /// # Errors
    /// When the process is gone, or not the caller's to look at.
    pub fn of(pid: u32) -> Result<Self> {
        let mut this = Self::default();
        let dir = format!("/proc/{pid}/fdinfo");
        for entry in fs::read_dir(&dir).with_context(|| dir.clone())? {
            // Closed meanwhile.
            let Ok(text) = fs::read_to_string(entry?.path()) else {
                continue;
            };
            for line in text.lines() {
                let Some((key, value)) = line.split_once(':') else {
                    continue;
                };
                let set = match key {
                    "prog_id" => &mut this.programs,
                    "map_id" => &mut this.maps,
                    "link_id" => &mut this.links,
                    _ => continue,
                };
                set.extend(value.trim().parse::<u32>());
            }
        }
        Ok(this)
    }

    pub fn len(&self) -> usize {
        self.programs.len() + self.maps.len() + self.links.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are still there, whoever holds them: a process, a link, a pin.
    ///
    /// # Errors
    /// Those of bpf(2); it needs CAP_SYS_ADMIN.
    pub fn still_there(&self) -> Result<Self> {
        let left = |ids: &BTreeSet<u32>, command| -> Result<BTreeSet<u32>> {
            let mut left = BTreeSet::new();
            for id in ids {
                if exists(command, *id).with_context(|| format!("bpf({command}), id {id}"))? {
                    left.insert(*id);
                }
            }
            Ok(left)
        };
        Ok(Self {
            programs: left(&self.programs, PROG_GET_FD_BY_ID)?,
            maps: left(&self.maps, MAP_GET_FD_BY_ID)?,
            links: left(&self.links, LINK_GET_FD_BY_ID)?,
        })
    }
}

fn exists(command: libc::c_long, id: u32) -> io::Result<bool> {
    // `union bpf_attr`: the id, next_id, open_flags.
    let attributes: [u32; 3] = [id, 0, 0];
    // SAFETY: the kernel reads `size_of(attributes)` bytes of them and writes none (kernel/bpf/syscall.c).
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            ErrorKind::NotFound => Ok(false),
            _ => Err(error),
        };
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it, for nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    Ok(true)
}
