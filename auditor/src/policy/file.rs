//! The policy from its file (`--policy PATH`).

use std::path::PathBuf;

use super::Policy;
use crate::watched_file::{Look, Refresh, SourceError, WatchedFile};

/// Without a file, the default policy that never changes.
#[derive(Debug, Default)]
pub struct FileSource {
    file: Option<WatchedFile>,
    policy: Policy,
}

impl FileSource {
    /// Reads nothing yet: call [`Self::refresh`].
    #[must_use]
    pub fn new(path: Option<PathBuf>) -> Self {
        Self {
            file: path.map(WatchedFile::new),
            policy: Policy::default(),
        }
    }

    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Looks at the file, and reads it if it has changed.
    ///
    /// # Errors
    /// The file is missing, too large, or wrong; the policy stays as it was.
    pub fn refresh(&mut self) -> Result<Refresh, SourceError> {
        let Some(file) = &mut self.file else {
            return Ok(Refresh::Unchanged);
        };
        match file.look(Policy::parse)? {
            Look::Unchanged => Ok(Refresh::Unchanged),
            Look::Changed { value, .. } => {
                self.policy = value;
                Ok(Refresh::Changed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_keeps_the_old_rules() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        std::fs::write(&path, "version: 1\nirsa_audiences: [a]\n").unwrap();
        let mut source = FileSource::new(Some(path.clone()));
        assert_eq!(source.refresh(), Ok(Refresh::Changed));
        let hash = source.policy().hash.clone();
        std::fs::write(&path, "version: 1\nsevrity: {}\n").unwrap();
        let error = source.refresh().unwrap_err().to_string();
        for part in ["policy.yaml", "`sevrity`", "line 2, column 1"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(source.policy().irsa_audiences, ["a"]);
        assert_eq!(source.policy().hash, hash);
    }

    #[test]
    fn no_file_is_the_default() {
        let mut source = FileSource::new(None);
        assert_eq!(source.refresh(), Ok(Refresh::Unchanged));
        assert_eq!(source.policy(), &Policy::default());
    }
}
