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
        let inode = inode_of(file);
        let projected = pod
            .zip(owner)
            .and_then(|(pod, owner)| pod.volume(&owner.volume));
        if path.in_writer_directory
            && projected.is_some_and(|volume| volume.token(&path.text).is_some())
        {
            self.remember(inode, path.text.clone());
            return Some(TokenFile {
                spec_path: Some(path.text.clone()),
                path: path.text,
            });
        }
        let spec_path = self.known.get(&inode).cloned();
        let look = Look {
            named: is_token_file(pod, owner.map(|owner| &*owner.volume), &path.text),
            is_known_inode: spec_path.is_some(),
            is_as_the_kubelet_left_it: path.in_writer_directory && file.nlink <= 1,
            volume_may_hold_tokens: projected
                .is_none_or(|volume| !volume.tokens.is_empty() || volume.unnamed_files),
            has_default_name: owner
                .is_some_and(|owner| is_default_non_token(&owner.volume, &path.text)),
        };
        look.is_token().then_some(TokenFile {
            path: path.text,
            spec_path,
        })
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

/// What tells a token from the other files of its volume.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// By the pod's spec.
    named: IsToken,
    /// Seen before under a token's name.
    is_known_inode: bool,
    /// Below a timestamp directory, under one name (none, when a rotation has just removed it): no name can clear what was linked or put there by somebody else.
    is_as_the_kubelet_left_it: bool,
    /// A spec that is not known clears nothing.
    volume_may_hold_tokens: bool,
    has_default_name: bool,
}

impl Look {
    fn is_token(self) -> bool {
        if self.is_known_inode {
            return true;
        }
        match self.named {
            IsToken::Yes => true,
            IsToken::No => self.volume_may_hold_tokens && !self.is_as_the_kubelet_left_it,
            IsToken::Unknown => {
                self.volume_may_hold_tokens
                    && !(self.has_default_name && self.is_as_the_kubelet_left_it)
            }
        }
    }
}

/// What every pod's default volume holds besides its token (plugin/pkg/admission/serviceaccount/admission.go).
fn is_default_non_token(volume: &str, path: &str) -> bool {
    volume.starts_with("kube-api-access-") && matches!(path, "ca.crt" | "namespace")
}

/// The fsid where there is one: it is the same from wherever the volume was learnt.
pub(super) fn inode_of(file: &FileInfo) -> (VolumeIdentity, u64) {
    let identity = match file.identity.fsid {
        0 => file.identity,
        fsid => VolumeIdentity {
            fsid,
            superblock: 0,
        },
    };
    (identity, file.ino)
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

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn what_counts_as_a_token() {
        let usual = Look {
            named: IsToken::No,
            is_known_inode: false,
            is_as_the_kubelet_left_it: true,
            volume_may_hold_tokens: true,
            has_default_name: false,
        };
        let unknown = Look {
            named: IsToken::Unknown,
            ..usual
        };
        for (what, look, expected) in [
            (
                "named by the spec",
                Look {
                    named: IsToken::Yes,
                    ..usual
                },
                true,
            ),
            ("a ConfigMap's file", usual, false),
            (
                "a known token under a ConfigMap's name",
                Look {
                    is_known_inode: true,
                    ..usual
                },
                true,
            ),
            (
                "linked, or put there",
                Look {
                    is_as_the_kubelet_left_it: false,
                    ..usual
                },
                true,
            ),
            (
                "put into a volume without tokens",
                Look {
                    is_as_the_kubelet_left_it: false,
                    volume_may_hold_tokens: false,
                    ..usual
                },
                false,
            ),
            ("no spec, any name", unknown, true),
            (
                "no spec, ca.crt of the default volume",
                Look {
                    has_default_name: true,
                    ..unknown
                },
                false,
            ),
            (
                "no spec, a link called ca.crt",
                Look {
                    has_default_name: true,
                    is_as_the_kubelet_left_it: false,
                    ..unknown
                },
                true,
            ),
        ] {
            assert_eq!(look.is_token(), expected, "{what}");
        }
    }

    fn file(path: &[u8], ino: u64) -> FileInfo {
        let mut file = FileInfo::new_zeroed();
        file.volume_path[..path.len()].copy_from_slice(path);
        file.volume_path_len = path.len() as u32;
        file.identity.fsid = 7;
        file.nlink = 1;
        file.ino = ino;
        file
    }

    #[test]
    fn paths_are_told_below_the_timestamp_directory() {
        for (walk, text, in_writer_directory) in [
            (&b"token\0..2026_11_22\0"[..], "token", true),
            (b"c\0b\0..2026_11_22\0", "b/c", true),
            (b"readme.txt\0", "readme.txt", false),
            (b"x\0dir\0", "dir/x", false),
            (b"..odd\0", "..odd", false),
            (b"", "", false),
        ] {
            let path = VolumePath::of(&file(walk, 1));
            assert_eq!(
                (path.text.as_str(), path.in_writer_directory),
                (text, in_writer_directory)
            );
        }
    }

    #[test]
    fn a_token_stays_one_under_another_name() {
        let mut pod = crate::cluster::testing::pod("shop", "web");
        pod.volumes = vec![crate::cluster::ProjectedVolume {
            name: "v".into(),
            tokens: vec![crate::cluster::TokenSource {
                path: "token".into(),
                audience: None,
                expiration_seconds: None,
            }],
            other_files: vec!["ca.crt".into()],
            unnamed_files: false,
        }];
        let owner = VolumeOwner {
            pod_uid: pod.uid.clone(),
            volume: "v".into(),
            plugin: "kubernetes.io~projected".into(),
        };
        let mut files = TokenFiles::default();
        let mut look = |walk: &[u8], ino| files.token(&file(walk, ino), Some(&owner), Some(&pod));
        assert_eq!(look(b"ca.crt\0..ts\0", 4), None);
        let token = look(b"token\0..ts\0", 5).unwrap();
        assert_eq!(
            (token.path.as_str(), token.spec_path.as_deref()),
            ("token", Some("token"))
        );
        let linked = look(b"ca.crt\0..ts\0", 5).unwrap();
        assert_eq!(
            (linked.path.as_str(), linked.spec_path.as_deref()),
            ("ca.crt", Some("token"))
        );
    }
}
