//! A container's file system.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use super::{ContainerSpec, HELPERS};
use crate::sys::mounts;

/// The root: a tmpfs with the node's system directories read-only, the helper programs, `/proc` of the container's own pid
/// namespace and the asked-for mounts. `/var/run` is a link to `/run`, as in most images.
pub(super) fn make(spec: &ContainerSpec) -> Result<()> {
    let root = &spec.root;
    let rec = MountPropagationFlags::REC;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | rec).context("make the mounts slaves")?;
    mounts::tmpfs(root, "mode=0755")?;
    for dir in ["usr", "bin", "sbin", "lib", "lib64"] {
        let source = Path::new("/").join(dir);
        match fs::symlink_metadata(&source) {
            Ok(meta) if meta.is_symlink() => symlink(fs::read_link(&source)?, root.join(dir))?,
            Ok(meta) if meta.is_dir() => mounts::bind(
                &source,
                &root.join(dir),
                true,
                MountPropagationFlags::PRIVATE,
            )?,
            _ => {}
        }
    }
    for dir in ["proc", "dev", "etc", "run", "var", "tmp", "sys"] {
        fs::create_dir(root.join(dir))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    symlink("../run", root.join("var/run"))?;
    for device in ["null", "zero", "urandom"] {
        let device = Path::new("dev").join(device);
        mounts::bind(
            &Path::new("/").join(&device),
            &root.join(&device),
            false,
            MountPropagationFlags::PRIVATE,
        )?;
    }
    mounts::bind(
        &spec.helpers,
        &inside(root, Path::new(HELPERS)),
        true,
        MountPropagationFlags::PRIVATE,
    )?;
    for m in &spec.mounts {
        let propagation = if m.host_to_container {
            MountPropagationFlags::DOWNSTREAM
        } else {
            MountPropagationFlags::PRIVATE
        };
        mounts::bind(
            &m.source,
            &inside(root, &m.target),
            m.read_only,
            propagation,
        )?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", root.join("proc"), "proc", flags, None).context("mount the container's /proc")?;
    std::env::set_current_dir(root)?;
    rustix::process::pivot_root(".", ".")
        .context("pivot_root (the root must not be an initramfs)")?;
    mounts::detach(Path::new("."))?;
    std::env::set_current_dir("/")?;
    Ok(())
}

fn inside(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
