//! A list-watch: all objects of a resource, then what becomes of them, for ever.
//!
//! It never ends while somebody listens, never forgets where it was, and never asks without a pause after a failure.

mod listing;
mod watching;

use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{Api, Backoff, Failure, Resource, Trouble, jitter};

/// Of answers that nobody can read, from one place in history: then a listing may help.
const MOST_GARBLED: u8 = 2;

/// What a list-watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<K> {
    /// All that there is: what is not in it is not there any longer.
    Listed {
        items: Vec<K>,
        /// Before the request was sent. What was there by then is in it, if [`Resource::from_cache`] is not set.
        begun_at: Timestamp,
    },
    /// Made or changed.
    Applied(K),
    /// As it was last.
    Deleted(K),
    /// The server was heard, whatever it said.
    Heard(Timestamp),
    /// Why nothing new may be known for now; null once it is over. What was told before stays true as far as anybody knows.
    Trouble(Option<String>),
}

/// Reads a resource as objects of the shape `K`, of which everything that `K` does not name is skipped by the parser.
#[derive(Debug)]
pub struct ListWatch<K> {
    api: Api,
    resource: Resource,
    sink: mpsc::Sender<Change<K>>,
    position: Position,
    method: Method,
    backoff: Backoff,
    trouble: Trouble,
    /// This server sends bookmarks: a watch that is silent for long is dead.
    has_bookmarks: bool,
    /// Answers that nobody could read, one after the other, from the same place in history.
    garbled: u8,
    /// Watches that brought nothing at all, not a bookmark, one after the other: this place may be in no history of the server's
    /// (an etcd that was restored to an older revision).
    silences: u8,
    listed_at: Option<Instant>,
    shape: PhantomData<K>,
}

/// Where in the resource's history we are.
#[derive(Clone, Debug)]
enum Position {
    /// `fresh`: a cache may be older than what was known.
    Unlisted {
        fresh: bool,
    },
    At(String),
}

/// How listings are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// `unmarked`: so many were never said to be complete.
    Streaming {
        unmarked: u8,
    },
    Paged,
}

/// Why a turn ended that did not end well.
#[derive(Debug)]
enum Stop {
    Failed(Failure),
    /// Nobody listens any longer.
    Abandoned,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<K: DeserializeOwned> ListWatch<K> {
    #[must_use]
    pub fn new(api: Api, resource: Resource, sink: mpsc::Sender<Change<K>>) -> Self {
        let timing = api.timing();
        Self {
            backoff: Backoff::new(timing.backoff_least, timing.backoff_most),
            trouble: Trouble::new(timing.patience),
            api,
            resource,
            sink,
            position: Position::Unlisted { fresh: false },
            method: Method::Streaming { unmarked: 0 },
            has_bookmarks: false,
            garbled: 0,
            silences: 0,
            listed_at: None,
            shape: PhantomData,
        }
    }

    /// Goes on until the receiver is dropped.
    pub async fn run(mut self) {
        sleep(jitter(self.api.timing().start_jitter)).await;
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(Stop::Failed(failure)) => {
                    if self.recover(failure).await.is_err() {
                        return;
                    }
                }
                Err(Stop::Abandoned) => return,
            }
            if self.sink.is_closed() {
                return;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Stop> {
        match (self.position.clone(), self.method) {
            (Position::At(version), _) => self.watch(version).await,
            (Position::Unlisted { .. }, Method::Streaming { unmarked }) => {
                self.streaming_list(unmarked).await
            }
            (Position::Unlisted { fresh }, Method::Paged) => self.paged_list(fresh).await,
        }
    }

    /// Says what is wrong where somebody should know, and waits.
    async fn recover(&mut self, failure: Failure) -> Result<(), Stop> {
        tracing::debug!(resource = self.resource.plural, %failure, "list-watch");
        let was_listed = matches!(self.position, Position::At(_));
        if matches!(failure, Failure::Garbled(_)) {
            self.garbled = self.garbled.saturating_add(1);
        }
        if failure.needs_listing() || self.garbled > MOST_GARBLED {
            self.position = Position::Unlisted { fresh: true };
            self.garbled = 0;
            let is_first = self
                .listed_at
                .is_none_or(|at| at.elapsed() > self.api.timing().backoff_most);
            if was_listed && failure.needs_listing() && is_first {
                // At once: nothing is wrong with the server.
                return Ok(());
            }
            // It answers: what it did before counts no more.
            if was_listed && failure.needs_listing() {
                self.backoff.reset();
            }
        }
        let description = failure.describe(&self.resource, "list and watch");
        if let Some(text) = self.trouble.failed(&failure, description) {
            self.tell(Change::Trouble(Some(text))).await?;
        }
        let wait = self.backoff.wait_after(&failure, self.api.timing());
        tokio::select! {
            () = sleep(wait) => Ok(()),
            () = self.sink.closed() => Err(Stop::Abandoned),
        }
    }

    /// The listener has all up to here.
    fn move_to(&mut self, resource_version: String) {
        self.position = Position::At(resource_version);
        self.garbled = 0;
        self.silences = 0;
        self.backoff.reset();
    }

    /// The server has answered as it should, and we know what it knows.
    async fn went_well(&mut self) -> Result<(), Stop> {
        self.answers_again().await?;
        self.tell(Change::Heard(Timestamp::now())).await
    }

    /// The server has answered as it should.
    async fn answers_again(&mut self) -> Result<(), Stop> {
        if self.trouble.over(Timestamp::now()) {
            self.tell(Change::Trouble(None)).await?;
        }
        Ok(())
    }

    /// Waits while the listener has enough to do.
    async fn tell(&self, change: Change<K>) -> Result<(), Stop> {
        self.sink.send(change).await.map_err(|_| Stop::Abandoned)
    }
}

#[cfg(test)]
mod tests;
