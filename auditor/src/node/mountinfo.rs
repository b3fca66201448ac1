//! `/proc/PID/mountinfo` (proc_pid_mountinfo(5)): total on hostile bytes, since mount points are anybody's to name.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

use crate::probe::Device;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub device: Device,
    /// Path within the filesystem that is mounted; `/` for the whole. Octal escapes are undone.
    pub root: Vec<u8>,
    /// Octal escapes are undone.
    pub mount_point: PathBuf,
    pub fs_type: String,
}

/// Lines that are not of the known form are passed over.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Mount> {
    bytes.split(|byte| *byte == b'\n').filter_map(line)
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let device = std::str::from_utf8(fields.nth(2)?).ok()?.parse().ok()?;
    let root = unescape(fields.next()?);
    let mount_point = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
    // Optional fields end with a lone dash.
    fields.by_ref().find(|field| *field == b"-")?;
    let fs_type = String::from_utf8(fields.next()?.to_vec()).ok()?;
    Some(Mount {
        device,
        root,
        mount_point,
        fs_type,
    })
}

/// Undoes `\040` and its like (fs/seq_file.c `mangle_path`).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_projected_volume_and_a_strange_name() {
        let text = b"412 28 0:52 / /var/lib/kubelet/pods/u/volumes/kubernetes.io~projected/t rw,relatime shared:9 - tmpfs tmpfs rw,size=1k\n\
            413 28 0:53 /..a/b /mnt/a\\040b\\134c rw - tmpfs tmpfs rw\nnonsense\n1 2 3:x / / rw - a b\n";
        let mounts: Vec<Mount> = parse(text).collect();
        assert_eq!(mounts.len(), 2);
        assert_eq!(
            mounts[0].device,
            Device {
                major: 0,
                minor: 52
            }
        );
        assert_eq!(mounts[0].fs_type, "tmpfs");
        assert_eq!(mounts[1].mount_point, PathBuf::from("/mnt/a b\\c"));
        assert_eq!(mounts[1].root, b"/..a/b");
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes).count();
        }

        #[test]
        fn mount_points_come_back_as_they_were(name in proptest::collection::vec(1_u8.., 1..40)) {
            let escaped: String = name.iter().map(|byte| format!("\\{byte:03o}")).collect();
            let text = format!("1 2 0:5 / {escaped} rw - tmpfs x rw");
            let mount = parse(text.as_bytes()).next().unwrap();
            prop_assert_eq!(mount.mount_point.into_os_string().into_vec(), name);
        }
    }
}
