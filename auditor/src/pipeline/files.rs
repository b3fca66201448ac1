//! Which files of a projected volume are tokens, whatever their names.

use std::collections::{HashMap, VecDeque};

use auditor_common::{FileInfo, VolumeIdentity, components};

use crate::{
    audit::{IsToken, is_token_file},
    cluster::Pod,
    node::VolumeOwner,
};

/// Tokens of a node's volumes and their last rotations.
const REMEMBERED: usize = 16_384;

/// Token inodes by the path that the pod's spec gives them. tmpfs hands out inode numbers in order and never again, so a hard
/// link is known by its number however it is called, also after the rotation that removed the first name.
#[derive(Debug, Default)]
pub struct TokenFiles {
    known: HashMap<(VolumeIdentity, u64), String>,
    order: VecDeque<(VolumeIdentity, u64)>,
}

/// A file that is a token, or must be taken for one.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// Path within the volume, below the timestamp directory.
    pub path: String,
    /// Path that the spec names it by; `None` where no such path is known.
    pub spec_path: Option<String>,
}

impl TokenFiles {
    /// `None` for what is known to be no token.
    pub fn token(
        &mut self,
        file: &FileInfo,
        owner: Option<&VolumeOwner>,
        pod: Option<&Pod>,
    ) -> Option<TokenFile> {
        let path = VolumePath::of(file);
        let key = (
            VolumeIdentity {
                superblock: 0,
                ..file.identity
            },
            file.ino,
        );
        let key = if key.0.fsid == 0 {
            (file.identity, file.ino)
        } else {
            key
        };
        let named = is_token_file(pod, owner.map(|owner| &*owner.volume), &path.text);
        if named == IsToken::Yes
            && path.in_writer_directory
            && self.spec_names(pod, owner, &path.text)
        {
            self.remember(key, path.text.clone());
            return Some(TokenFile {
                spec_path: Some(path.text.clone()),
                path: path.text,
            });
        }
        let spec_path = self.known.get(&key).cloned();
        let is_token = spec_path.is_some()
            // Linked under a second name, or not put there by the kubelet: no name can clear it.
            || (named != IsToken::No || file.nlink > 1 || !path.in_writer_directory) && volume_has_tokens(pod, owner)
                && !(named == IsToken::Unknown && default_non_token(owner, &path.text) && path.in_writer_directory && file.nlink == 1);
        is_token.then_some(TokenFile {
            path: path.text,
            spec_path,
        })
    }

    fn spec_names(&self, pod: Option<&Pod>, owner: Option<&VolumeOwner>, path: &str) -> bool {
        volume(pod, owner).is_some_and(|volume| volume.token(path).is_some())
    }

    fn remember(&mut self, key: (VolumeIdentity, u64), path: String) {
        if self.known.insert(key, path).is_none() {
            self.order.push_back(key);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
    }
}

fn volume<'a>(
    pod: Option<&'a Pod>,
    owner: Option<&VolumeOwner>,
) -> Option<&'a crate::cluster::ProjectedVolume> {
    pod?.volume(&owner?.volume)
}

/// A spec that is not known clears nothing.
fn volume_has_tokens(pod: Option<&Pod>, owner: Option<&VolumeOwner>) -> bool {
    volume(pod, owner).is_none_or(|volume| !volume.tokens.is_empty() || volume.unnamed_files)
}

/// What every pod's default volume holds besides its token (plugin/pkg/admission/serviceaccount/admission.go).
fn default_non_token(owner: Option<&VolumeOwner>, path: &str) -> bool {
    owner.is_some_and(|owner| owner.volume.starts_with("kube-api-access-"))
        && matches!(path, "ca.crt" | "namespace")
}

struct VolumePath {
    text: String,
    /// Below a timestamp directory of the kubelet's atomic writer.
    in_writer_directory: bool,
}

impl VolumePath {
    fn of(file: &FileInfo) -> Self {
        let mut names: Vec<_> = components(&file.volume_path, file.volume_path_len)
            .map(String::from_utf8_lossy)
            .collect();
        names.reverse();
        let in_writer_directory =
            names.len() > 1 && names.first().is_some_and(|name| name.starts_with(".."));
        let names = names
            .get(usize::from(in_writer_directory)..)
            .unwrap_or_default();
        Self {
            text: names.join("/"),
            in_writer_directory,
        }
    }
}
