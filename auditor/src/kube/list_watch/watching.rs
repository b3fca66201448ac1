//! Watches: those that go on from a place in history, and those that begin with a listing.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Change, ListWatch, Method, Position, Stop};
use crate::kube::{Failure, event::Event, jitter, lines::Lines, page::object};

/// A streamed listing that never was said to be complete so often: this server does not know how.
const MOST_UNMARKED: u8 = 2;

/// What has come of a listing so far.
struct Listing<K> {
    /// By UID.
    items: HashMap<String, K>,
    begun_at: Timestamp,
}

/// Then a listing tells more than another watch from the same place.
const MOST_SILENCES: u8 = 2;

impl<K: DeserializeOwned> ListWatch<K> {
    /// Lists, and goes on watching in the same answer.
    pub(super) async fn streaming_list(&mut self, unmarked: u8) -> Result<(), Stop> {
        let lifetime = self.lifetime();
        let mut listing = Some(Listing {
            items: HashMap::new(),
            begun_at: Timestamp::now(),
        });
        let path = self.resource.streaming_list(lifetime);
        let ended = self.follow(path, lifetime, &mut listing).await;
        if listing.is_none() {
            return ended;
        }
        match ended {
            Err(Stop::Failed(failure)) if failure.refuses_streaming() => {
                tracing::info!(
                    resource = self.resource.plural,
                    "the API server has no streaming lists; listing in pages"
                );
                self.method = Method::Paged;
                Ok(())
            }
            // It answered, and did not end the listing: old servers pass over parameters that they do not know.
            Ok(()) | Err(Stop::Failed(Failure::Cut(_))) => {
                self.method = match unmarked + 1 {
                    MOST_UNMARKED.. => Method::Paged,
                    unmarked => Method::Streaming { unmarked },
                };
                let cut = "a streamed list was never said to be complete".to_owned();
                Err(Failure::Cut(cut).into())
            }
            Err(stop) => Err(stop),
        }
    }

    /// Goes on from `version`.
    pub(super) async fn watch(&mut self, version: String) -> Result<(), Stop> {
        let begun = Instant::now();
        let lifetime = self.lifetime();
        let path = self.resource.watch(&version, lifetime);
        let ended = self.follow(path, lifetime, &mut None).await;
        let has_moved = !matches!(&self.position, Position::At(now) if *now == version);
        if !has_moved && self.has_bookmarks && begun.elapsed() >= self.silence(lifetime, false) {
            self.silences += 1;
            if self.silences >= MOST_SILENCES {
                self.silences = 0;
                self.position = Position::Unlisted { fresh: true };
            }
        }
        match ended {
            // client-go calls it a "very short watch": at once again would be a busy loop.
            Ok(()) if !has_moved && begun.elapsed() < self.api.timing().short_watch => {
                Err(Failure::Cut("a watch ended as soon as it had begun".to_owned()).into())
            }
            other => other,
        }
    }

    /// Reads one answer to its end. `listing` is taken once it is complete.
    async fn follow(
        &mut self,
        path: String,
        lifetime: Duration,
        listing: &mut Option<Listing<K>>,
    ) -> Result<(), Stop> {
        let answer = self.api.ask("watch", &self.resource, path).await?;
        let mut lines = Lines::new(answer);
        if listing.is_none() {
            // Not yet `Heard`: what happened since may be told next, or be gone.
            self.answers_again().await?;
        }
        loop {
            let silence = self.silence(lifetime, listing.is_some());
            let Some(line) = lines.next(silence).await? else {
                return Ok(());
            };
            self.take(&line, listing).await?;
            if listing.is_none() && !lines.has_line() {
                let now = Timestamp::now();
                self.trouble.heard(now);
                self.tell(Change::Heard(now)).await?;
            }
        }
    }

    /// Takes in one event. The place in history moves on only once the listener has it.
    async fn take(&mut self, line: &[u8], listing: &mut Option<Listing<K>>) -> Result<(), Stop> {
        let event = Event::parse(line)?;
        if let Some(begun) = listing {
            match event {
                Event::Applied(applied) => {
                    if let Some(item) = object(applied.json) {
                        begun.items.insert(applied.uid, item);
                    }
                }
                Event::Deleted(deleted) => {
                    begun.items.remove(&deleted.uid);
                }
                Event::Bookmark {
                    resource_version,
                    ends_listing: true,
                } => {
                    self.has_bookmarks = true;
                    let begun_at = begun.begun_at;
                    let items = std::mem::take(&mut begun.items).into_values().collect();
                    self.tell(Change::Listed { items, begun_at }).await?;
                    *listing = None;
                    self.move_to(resource_version);
                    self.listed_at = Some(Instant::now());
                    self.method = Method::Streaming { unmarked: 0 };
                    self.went_well().await?;
                }
                Event::Bookmark { .. } | Event::Other => {}
            }
            return Ok(());
        }
        let resource_version = match event {
            Event::Applied(applied) => {
                if let Some(item) = object(applied.json) {
                    self.tell(Change::Applied(item)).await?;
                }
                applied.resource_version
            }
            Event::Deleted(deleted) => {
                if let Some(item) = object(deleted.json) {
                    self.tell(Change::Deleted(item)).await?;
                }
                deleted.resource_version
            }
            Event::Bookmark {
                resource_version, ..
            } => {
                self.has_bookmarks = true;
                resource_version
            }
            Event::Other => return Ok(()),
        };
        self.move_to(resource_version);
        Ok(())
    }

    /// How long to ask the server to keep this watch: not as long as everybody else's.
    fn lifetime(&self) -> Duration {
        let watch = self.api.timing().watch;
        watch - jitter(watch / 10)
    }

    fn silence(&self, lifetime: Duration, is_listing: bool) -> Duration {
        let timing = self.api.timing();
        if is_listing {
            return timing.silence;
        }
        let until_its_end = lifetime + timing.watch_slack;
        if self.has_bookmarks {
            until_its_end.min(timing.bookmark_silence)
        } else {
            until_its_end
        }
    }
}
