//! Volumes on disk as the kubelet writes them: `pods/<uid>/volumes/<plugin>/<volume>`, a tmpfs each where the plugin keeps
//! secrets, and the atomic writer's layout inside.
//!
//! Layout: kubelet `pkg/volume/util/atomic_writer.go`. Everything here runs in the kubelet's process.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::sys::mounts;

/// File name within the volume (may hold `/`) to content.
pub type Files = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plugin {
    Projected,
    Secret,
    ConfigMap,
}

impl Plugin {
    fn dir(self) -> &'static str {
        match self {
            Self::Projected => "kubernetes.io~projected",
            Self::Secret => "kubernetes.io~secret",
            Self::ConfigMap => "kubernetes.io~configmap",
        }
    }

    /// ConfigMaps live on the node's disk, what may be secret in memory.
    fn in_memory(self) -> bool {
        self != Self::ConfigMap
    }
}

/// A volume of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeId {
    pub pod_uid: String,
    pub plugin: Plugin,
    pub name: String,
}

impl VolumeId {
    pub fn dir(&self, kubelet_root: &Path) -> PathBuf {
        kubelet_root
            .join("pods")
            .join(&self.pod_uid)
            .join("volumes")
            .join(self.plugin.dir())
            .join(&self.name)
    }
}

/// Makes and mounts the volume, still empty.
pub fn mount(id: &VolumeId, kubelet_root: &Path) -> Result<PathBuf> {
    let dir = id.dir(kubelet_root);
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    if id.plugin.in_memory() {
        mounts::tmpfs(&dir, "size=32768k")?;
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777))?;
    Ok(dir)
}

/// Writes the files into a new timestamp directory, swaps `..data` to it and removes the old one.
pub fn write(dir: &Path, files: &Files, now: Timestamp) -> Result<()> {
    let old = fs::read_link(dir.join("..data")).ok();
    let name = timestamp_dir(now);
    let new = dir.join(&name);
    fs::create_dir(&new).with_context(|| format!("create {}", new.display()))?;
    for (file, content) in files {
        let path = new.join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    }
    symlink(&name, dir.join("..data_tmp"))?;
    fs::rename(dir.join("..data_tmp"), dir.join("..data"))?;
    for file in files.keys() {
        let first = file.split('/').next().unwrap_or(file);
        let link = dir.join(first);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(first), link)?;
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(dir.join(old))?;
    }
    Ok(())
}

/// Opens and reads every file by its timestamp path, as `shouldWriteFile` does at each sync of the pod.
/// Returns how many there were.
pub fn sync(dir: &Path) -> Result<usize> {
    let current = dir.join(fs::read_link(dir.join("..data"))?);
    read_below(&current)
}

fn read_below(dir: &Path) -> Result<usize> {
    let mut read = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            read += read_below(&entry.path())?;
        } else {
            fs::File::open(entry.path())?.read_to_end(&mut Vec::new())?;
            read += 1;
        }
    }
    Ok(read)
}

/// The bind mount that stands for one `subPath` of a container: the file's inode as it is now, for ever.
pub fn mount_subpath(
    id: &VolumeId,
    kubelet_root: &Path,
    container: &str,
    index: u32,
    file: &str,
) -> Result<PathBuf> {
    let target = kubelet_root
        .join("pods")
        .join(&id.pod_uid)
        .join("volume-subpaths")
        .join(&id.name)
        .join(container)
        .join(index.to_string());
    let resolved = fs::canonicalize(id.dir(kubelet_root).join(file))?;
    mounts::bind(
        &resolved,
        &target,
        false,
        rustix::mount::MountPropagationFlags::PRIVATE,
    )?;
    Ok(target)
}

/// Unmounts all that the pod has and removes its directory.
pub fn remove_pod(pod_uid: &str, kubelet_root: &Path) -> Result<()> {
    let dir = kubelet_root.join("pods").join(pod_uid);
    for mount in mounts::list()?
        .iter()
        .rev()
        .filter(|m| m.mount_point.starts_with(&dir))
    {
        mounts::detach(&mount.mount_point)?;
    }
    match fs::remove_dir_all(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// `..2026_11_22_13_16_06.311555900`, in UTC.
fn timestamp_dir(now: Timestamp) -> String {
    let zoned = now.to_zoned(TimeZone::UTC);
    format!(
        "..{}.{:09}",
        zoned.strftime("%Y_%m_%d_%H_%M_%S"),
        zoned.subsec_nanosecond()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamp_directories_are_named_as_the_kubelet_names_them() {
        let now: Timestamp = "2026-11-22T13:16:06.3115559Z".parse().unwrap();
        assert_eq!(timestamp_dir(now), "..2026_11_22_13_16_06.311555900");
    }

    #[test]
    fn a_rewrite_swaps_data_and_keeps_the_user_visible_links() {
        let dir = tempfile::tempdir().unwrap();
        let token = |t: &str| Files::from([("id/jwt".to_owned(), t.to_owned())]);
        write(
            dir.path(),
            &token("one"),
            "2026-11-22T13:16:06Z".parse().unwrap(),
        )
        .unwrap();
        let first = fs::read_link(dir.path().join("..data")).unwrap();
        assert_eq!(
            fs::read_link(dir.path().join("id")).unwrap(),
            Path::new("..data/id")
        );
        write(
            dir.path(),
            &token("two"),
            "2026-11-22T13:24:01Z".parse().unwrap(),
        )
        .unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("id/jwt")).unwrap(),
            "two"
        );
        assert!(
            !dir.path().join(first).exists(),
            "the old timestamp directory is gone"
        );
        assert_eq!(sync(dir.path()).unwrap(), 1);
    }
}
