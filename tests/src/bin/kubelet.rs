//! The kubelet's part in token volumes: mounts them, writes and rotates their files, reads every file at each sync.
//!
//! `kubelet ROOT`, requests on stdin (`lab::node::kubelet::Request`).

use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use lab::{node::kubelet::Request, volume, wire::serve};

fn main() -> Result<()> {
    let root: PathBuf = std::env::args_os()
        .nth(1)
        .context("usage: kubelet ROOT")?
        .into();
    let mut volumes: Vec<volume::VolumeId> = Vec::new();
    serve(|request: Request| match request {
        Request::Mount { volume, files } => {
            let dir = volume::mount(&volume, &root)?;
            volume::write(&dir, &files, Timestamp::now())?;
            volumes.push(volume);
            Ok(String::new())
        }
        Request::Write { volume, files } => {
            volume::write(&volume.dir(&root), &files, Timestamp::now())?;
            Ok(String::new())
        }
        Request::Sync => {
            let mut read = 0;
            for volume in &volumes {
                read += volume::sync(&volume.dir(&root))?;
            }
            Ok(read.to_string())
        }
        Request::SubPath {
            volume,
            container,
            index,
            file,
        } => {
            let target = volume::mount_subpath(&volume, &root, &container, index, &file)?;
            Ok(target.to_string_lossy().into_owned())
        }
        Request::RemovePod { uid } => {
            volumes.retain(|v| v.pod_uid != uid);
            volume::remove_pod(&uid, &root)?;
            Ok(String::new())
        }
    })
}
