//! Device numbers and filesystem ids in their several encodings.

/// A device number. The kernel's `s_dev` packs it as major << 20 | minor, stat as glibc's `makedev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    pub major: u32,
    pub minor: u32,
}

impl Device {
    /// From `s_dev` (include/linux/kdev_t.h).
    pub const fn from_kernel(dev: u32) -> Self {
        Self {
            major: dev >> 20,
            minor: dev & 0xf_ffff,
        }
    }

    /// From `st_dev`.
    pub fn from_stat(dev: u64) -> Self {
        Self {
            major: rustix::fs::major(dev),
            minor: rustix::fs::minor(dev),
        }
    }

    /// As the kernel's `s_dev`.
    pub const fn kernel(self) -> u32 {
        self.major << 20 | self.minor
    }
}

impl std::str::FromStr for Device {
    type Err = ();

    /// `major:minor`, as mountinfo has it.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (major, minor) = text.split_once(':').ok_or(())?;
        let device = Self {
            major: major.parse().map_err(drop)?,
            minor: minor.parse().map_err(drop)?,
        };
        if device.major > 0xfff || device.minor > 0xf_ffff {
            Err(())
        } else {
            Ok(device)
        }
    }
}

/// `f_fsid` as one number: both halves of the superblock's UUID xor-ed (`uuid_to_fsid`, include/linux/statfs.h).
pub fn fsid(path: &std::path::Path) -> std::io::Result<u64> {
    Ok(rustix::fs::statvfs(path)?.f_fsid)
}
