//! What was asked of a server.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hyper::{Method, StatusCode, Uri};

/// A request, while it is answered and after.
#[derive(Debug)]
pub struct Entry {
    pub method: Method,
    pub path: String,
    /// Without the question mark; empty where there is none.
    pub query: String,
    pub at: Instant,
    /// 0 before the answer's head, and where there was none.
    status: AtomicU16,
    bytes: AtomicU64,
}

impl Entry {
    pub(super) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn answered(&self, status: Option<StatusCode>) {
        self.status
            .store(status.map_or(0, |status| status.as_u16()), Relaxed);
    }
}

/// A request as it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    /// After the server's start.
    pub at: Duration,
    /// 0 before the answer's head, and where there was none.
    pub status: u16,
    /// Of the answer's body, so far.
    pub bytes: u64,
}

/// Every request since the server's start.
#[derive(Debug)]
pub struct Log {
    start: Instant,
    entries: Mutex<Vec<Arc<Entry>>>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            entries: Mutex::default(),
        }
    }
}

impl Log {
    pub(super) fn open(&self, method: &Method, uri: &Uri) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            method: method.clone(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            at: Instant::now(),
            status: AtomicU16::new(0),
            bytes: AtomicU64::new(0),
        });
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry.clone());
        entry
    }

    /// All of them, in the order in which they came.
    #[must_use]
    pub fn all(&self) -> Vec<Seen> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .iter()
            .map(|entry| Seen {
                method: entry.method.to_string(),
                path: entry.path.clone(),
                query: entry.query.clone(),
                at: entry.at.duration_since(self.start),
                status: entry.status.load(Relaxed),
                bytes: entry.bytes.load(Relaxed),
            })
            .collect()
    }
}
