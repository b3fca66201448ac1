//! Associations from a file (`--associations file:PATH`).

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;

use super::{Snapshot, parse};
use crate::watched_file::{Look, Refresh, SourceError, WatchedFile};

#[derive(Debug)]
pub struct FileSource {
    file: WatchedFile,
    name: Arc<str>,
    cluster: Option<Arc<str>>,
    snapshot: Option<Snapshot>,
}

impl FileSource {
    /// Reads nothing yet: call [`Self::refresh`]. Of a file with associations of several clusters, those of `cluster` are taken.
    #[must_use]
    pub fn new(path: PathBuf, cluster: Option<Arc<str>>) -> Self {
        Self {
            name: format!("file:{}", path.display()).into(),
            file: WatchedFile::new(path),
            cluster,
            snapshot: None,
        }
    }

    /// Null before the first reading that succeeded.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Looks at the file, and reads it if it has changed. `now` is taken before the call; the snapshot counts as begun then.
    ///
    /// # Errors
    /// The file is missing, too large, or wrong; the snapshot stays as it was, and so does the time it is of.
    pub fn refresh(&mut self, now: Timestamp) -> Result<Refresh, SourceError> {
        let cluster = self.cluster.as_deref();
        match self.file.look(|bytes| parse(bytes, cluster))? {
            Look::Unchanged => {
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.started_at = now;
                }
                Ok(Refresh::Unchanged)
            }
            Look::Changed { value, hash } => {
                let generation = self.snapshot.as_ref().map_or(0, |s| s.generation) + 1;
                self.snapshot = Some(Snapshot::new(
                    self.name.clone(),
                    generation,
                    hash,
                    now,
                    value.complete,
                    value.associations,
                ));
                Ok(Refresh::Changed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_change_is_a_generation_and_each_look_a_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("associations.json");
        let mut source = FileSource::new(path.clone(), None);
        assert!(source.refresh(at(1)).is_err());
        assert!(source.snapshot().is_none());

        std::fs::write(&path, r#"{"associations":[]}"#).unwrap();
        assert_eq!(source.refresh(at(2)), Ok(Refresh::Changed));
        assert_eq!(source.refresh(at(3)), Ok(Refresh::Unchanged));
        let snapshot = source.snapshot().unwrap();
        assert_eq!(&*snapshot.source, format!("file:{}", path.display()));
        assert_eq!((snapshot.generation, snapshot.started_at), (1, at(3)));
        assert!(snapshot.tells_of_absence_at(at(3)));
        assert!(!snapshot.tells_of_absence_at(at(4)));
        assert!(snapshot.is_empty());
        let first = snapshot.hash.clone();

        let entry = r#"{"namespace":"shop","serviceAccount":"web","associationId":"a-1"}"#;
        std::fs::write(&path, format!(r#"{{"associations":[{entry}]}}"#)).unwrap();
        assert_eq!(source.refresh(at(4)), Ok(Refresh::Changed));
        let snapshot = source.snapshot().unwrap();
        assert_eq!((snapshot.generation, snapshot.len()), (2, 1));
        assert_ne!(snapshot.hash, first);
        assert!(snapshot.get("shop", "web").is_some());
        assert!(snapshot.get("shop", "api").is_none());

        std::fs::write(&path, "{").unwrap();
        assert!(source.refresh(at(5)).is_err());
        let snapshot = source.snapshot().unwrap();
        assert_eq!((snapshot.generation, snapshot.started_at), (2, at(4)));
    }
}
