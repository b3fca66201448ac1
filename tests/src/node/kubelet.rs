//! What the kubelet process is asked to do (`src/bin/kubelet.rs`).

use serde::{Deserialize, Serialize};

use crate::volume::{Files, VolumeId};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Mount {
        volume: VolumeId,
        files: Files,
    },
    /// Rotation.
    Write {
        volume: VolumeId,
        files: Files,
    },
    /// Read every file of every volume; answers how many.
    Sync,
    /// Answers the path of the bind mount.
    SubPath {
        volume: VolumeId,
        container: String,
        index: u32,
        file: String,
    },
    /// Unmount all of a pod's volumes and remove its directory.
    RemovePod {
        uid: String,
    },
}
