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
    /// The file says of what time it is: looking at it again makes it no younger.
    dated: bool,
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
            dated: false,
        }
    }

    /// Null before the first reading that succeeded.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Looks at the file, and reads it if it has changed. `now` is taken before the call; the snapshot counts as begun then,
    /// unless the file itself says when what it holds was read.
    ///
    /// # Errors
    /// The file is missing, too large, or wrong; the snapshot stays as it was, and so does the time it is of.
    pub fn refresh(&mut self, now: Timestamp) -> Result<Refresh, SourceError> {
        let cluster = self.cluster.as_deref();
        match self.file.look(|bytes| parse(bytes, cluster))? {
            Look::Unchanged => {
                if let Some(snapshot) = &mut self.snapshot
                    && !self.dated
                {
                    snapshot.started_at = now;
                }
                Ok(Refresh::Unchanged)
            }
            Look::Changed { value, hash } => {
                let generation = self.snapshot.as_ref().map_or(0, |s| s.generation) + 1;
                let mut snapshot = Snapshot::new(
                    self.name.clone(),
                    generation,
                    hash,
                    value.started_at.unwrap_or(now),
                    value.complete,
                    value.associations,
                );
                snapshot.interval = value.interval;
                self.dated = value.started_at.is_some();
                self.snapshot = Some(snapshot);
                Ok(Refresh::Changed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    #[test]
    fn a_file_that_says_of_when_it_is_grows_old() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("associations.json");
        let text = r#"{"startedAt":"1970-01-01T00:01:40Z","intervalSeconds":60,"complete":true,"associations":[]}"#;
        std::fs::write(&path, text).unwrap();
        let mut source = FileSource::new(path, None);
        for now in [200, 300] {
            source.refresh(at(now)).unwrap();
            let snapshot = source.snapshot().unwrap();
            assert_eq!(snapshot.started_at, at(100));
            assert_eq!(snapshot.interval, Some(Duration::from_secs(60)));
        }
    }
}
