//! `--associations`: where Pod Identity associations are read.

use jiff::Timestamp;

use super::{FileSource, LiveSource, Snapshot};

#[derive(Debug)]
pub enum Source {
    /// `none`
    None,
    File(Box<FileSource>),
    /// A ConfigMap, the EKS API, or ACK's resources: read by a task of their own.
    Live(LiveSource),
}

impl Source {
    /// Takes in what came; `now` is taken before the call. Returns what is wrong, if anything.
    pub fn refresh(&mut self, now: Timestamp) -> Option<String> {
        match self {
            Self::None => None,
            Self::File(file) => file
                .refresh(now)
                .err()
                .map(|error| format!("{error}; what was read before stays in force")),
            Self::Live(live) => live.refresh(),
        }
    }

    /// `None` with `none`, and before the first reading.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Self::None => None,
            Self::File(file) => file.snapshot(),
            Self::Live(live) => live.snapshot(),
        }
    }
}
