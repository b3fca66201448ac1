//! Pods and ServiceAccounts from a file (`--cluster file:PATH`).

use std::path::PathBuf;

use jiff::Timestamp;

use super::{Store, parse};
use crate::watched_file::{Look, Refresh, SourceError, WatchedFile};

#[derive(Debug)]
pub struct FileSource {
    file: WatchedFile,
    store: Store,
}

impl FileSource {
    /// Reads nothing yet: call [`Self::refresh`].
    #[must_use]
    pub fn new(path: PathBuf, node: &str) -> Self {
        Self {
            file: WatchedFile::new(path),
            store: Store::new(node),
        }
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Looks at the file, and reads it if it has changed. `now` is taken before the call: what the file said by then is known after it.
    ///
    /// # Errors
    /// The file is missing, too large, or wrong; the contents stay as they were, and so does the time they are of.
    pub fn refresh(&mut self, now: Timestamp) -> Result<Refresh, SourceError> {
        match self.file.look(parse)? {
            Look::Unchanged => {
                self.store.confirm(now);
                Ok(Refresh::Unchanged)
            }
            Look::Changed { value, .. } => {
                self.store.replace(value, now);
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

    fn list(names: &[&str]) -> String {
        let item = |name: &&str| {
            format!(r#"{{"kind":"Pod","metadata":{{"name":"{name}","uid":"uid-{name}"}}}}"#)
        };
        let items: Vec<String> = names.iter().map(item).collect();
        format!(r#"{{"kind":"List","items":[{}]}}"#, items.join(","))
    }

    #[test]
    fn a_broken_file_keeps_the_pods_and_their_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        std::fs::write(&path, list(&["a", "b"])).unwrap();
        let mut source = FileSource::new(path.clone(), "n1");
        assert_eq!(source.refresh(at(1)), Ok(Refresh::Changed));
        assert_eq!(source.refresh(at(2)), Ok(Refresh::Unchanged));
        assert_eq!(source.store().read_at(), Some(at(2)));

        std::fs::write(&path, "{\"kind\":\"List\",\"items\":[{").unwrap();
        let broken = source.refresh(at(3)).unwrap_err();
        assert!(broken.to_string().contains("cluster.json"), "{broken}");
        assert_eq!(source.refresh(at(4)), Err(broken), "the same until mended");
        assert_eq!(source.store().pod_count(), 2);
        assert_eq!(source.store().read_at(), Some(at(2)));

        std::fs::write(&path, list(&["b"])).unwrap();
        assert_eq!(source.refresh(at(5)), Ok(Refresh::Changed));
        assert_eq!(source.store().pod_count(), 1);
        assert!(source.store().pod("uid-a").is_some(), "still remembered");
    }
}
