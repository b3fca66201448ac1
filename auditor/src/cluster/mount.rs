//! A volume mount of a container, for telling which volume's file a path in the container's environment is.

use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Name of the pod's volume.
    pub volume: Arc<str>,
    pub mount_path: Arc<str>,
    /// Where in the volume the mount begins; a file or a directory.
    pub sub_path: Option<Arc<str>>,
}

impl Mount {
    /// The path within the volume, below the timestamp directory, that `path` in the container names; null where it lies outside this mount.
    #[must_use]
    pub fn file_at(&self, path: &str) -> Option<String> {
        let (path, mount) = (components(path)?, components(&self.mount_path)?);
        let below = path.strip_prefix(mount.as_slice())?;
        let sub_path = components(self.sub_path.as_deref().unwrap_or_default())?;
        let mut file: Vec<&str> = sub_path.into_iter().chain(below.iter().copied()).collect();
        // The atomic writer's symlink: `..data/token` is `token`.
        if file.first() == Some(&"..data") {
            file.remove(0);
        }
        (!file.is_empty()).then(|| file.join("/"))
    }
}

/// Null for a path that climbs (`..`): the kubelet refuses those in mounts, and an environment that holds one is not worth guessing at.
fn components(path: &str) -> Option<Vec<&str>> {
    let mut parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    // Images link /var/run to /run, so the two name the same place.
    if parts.starts_with(&["var", "run"]) {
        parts.remove(0);
    }
    (!parts.contains(&"..")).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_of_a_volume() {
        let dir = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
        for (mount_path, sub_path, path, file) in [
            (
                dir,
                None,
                "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
                Some("token"),
            ),
            (
                dir,
                None,
                "/run/secrets/eks.amazonaws.com/serviceaccount/token",
                Some("token"),
            ),
            (
                dir,
                None,
                "/run/secrets/eks.amazonaws.com/serviceaccount/..data/token",
                Some("token"),
            ),
            ("/aws/", None, "/aws//./a/b", Some("a/b")),
            ("/aws", Some("a"), "/aws/b", Some("a/b")),
            ("/aws/token", Some("token"), "/aws/token", Some("token")),
            ("/aws", None, "/awsome/token", None),
            ("/aws", None, "/aws", None),
            ("/aws", None, "/aws/../aws/token", None),
            ("/other", None, "/aws/token", None),
        ] {
            let mount = Mount {
                volume: "aws-iam-token".into(),
                mount_path: mount_path.into(),
                sub_path: sub_path.map(Into::into),
            };
            assert_eq!(
                mount.file_at(path).as_deref(),
                file,
                "{path} at {mount_path}"
            );
        }
    }
}
