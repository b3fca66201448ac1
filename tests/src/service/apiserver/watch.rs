//! Watches: one JSON object a line, for as long as both sides want.

use std::{sync::Arc, time::Duration};

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::broadcast,
    time::{Instant, interval_at, sleep_until},
};

use super::{
    encode::{Form, write_object},
    faults::Action,
    resource::{Resource, Target},
    selector::Selector,
    status::Status,
    store::{Change, Store},
};
use crate::service::web::{Cut, Sender};

/// How the API server treats `sendInitialEvents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamingLists {
    /// From 1.34 on, and 1.32.
    On,
    /// The feature gate is off, as in 1.33.
    Off,
    /// Before 1.27: the parameter is not known.
    Unknown,
}

/// How all open watches are ended by the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// ERROR with 410, and the end.
    Gone,
    /// As a timeout ends it.
    Whole,
    /// In the middle of a line.
    InLine,
    /// A line that is no JSON, and on.
    Garbage,
}

/// A watch that was accepted.
pub struct Watch {
    pub store: Arc<Store>,
    pub target: Target,
    pub form: Form,
    pub selector: Selector,
    pub start: Start,
    /// Between bookmarks, where the client takes them.
    pub bookmarks: Option<Duration>,
    pub timeout: Duration,
    pub ends: broadcast::Receiver<End>,
    /// Of this watch.
    pub fault: Option<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// ADDED for all that is there; then, if asked for, the bookmark that ends them.
    All {
        bookmark: bool,
    },
    After(u64),
}

impl Start {
    /// # Errors
    /// 422 and 400 as `ValidateListOptions` words them (apimachinery `pkg/apis/meta/internalversion/validation`).
    pub fn of(target: &Target, lists: StreamingLists) -> Result<Self, Status> {
        let invalid = |message: &str| {
            let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {message}");
            Err(Status::invalid("ListOptions", "", "meta.k8s.io", message))
        };
        let initial = target.parameter("sendInitialEvents");
        let matching = target.parameter("resourceVersionMatch");
        match lists {
            StreamingLists::Unknown if !matching.is_empty() => {
                return invalid(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch",
                );
            }
            StreamingLists::Off if !initial.is_empty() => {
                return invalid(
                    "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature \
                     gate is enabled",
                );
            }
            StreamingLists::On if !initial.is_empty() && matching != "NotOlderThan" => {
                return invalid(
                    "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
            StreamingLists::On | StreamingLists::Off
                if initial.is_empty() && !matching.is_empty() =>
            {
                return invalid(
                    "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents \
                     is provided",
                );
            }
            _ => {}
        }
        if lists == StreamingLists::On && initial == "true" {
            let bookmark = target.flag("allowWatchBookmarks");
            return Ok(Self::All { bookmark });
        }
        match target.parameter("resourceVersion") {
            "" | "0" => Ok(Self::All { bookmark: false }),
            text => match text.parse() {
                Ok(version) => Ok(Self::After(version)),
                Err(_) => Err(Status::bad_request(format!(
                    "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
                ))),
            },
        }
    }
}

/// The watch has ended: the client has gone, or we have.
struct Ended;

impl Watch {
    pub async fn run(mut self, sender: Sender) {
        let mut out = Out {
            sender,
            whole_lines: match self.fault {
                Some(Action::CutInLine(lines)) => Some(lines),
                Some(Action::Half) => Some(0),
                _ => None,
            },
        };
        let deadline = Instant::now() + self.timeout;
        // Fails where the client has gone; then there is nothing left to do.
        let _ = self.follow(&mut out, deadline).await;
    }

    async fn follow(&mut self, out: &mut Out, deadline: Instant) -> Result<(), Ended> {
        let mut changed = self.store.subscribe();
        let resource = self.target.resource;
        let mut version = match self.start {
            Start::After(version) => version,
            Start::All { bookmark } => {
                let (version, all) = self.store.all(resource);
                for object in all.iter().filter(|object| self.selector.takes(object)) {
                    out.line("ADDED", &self.text(object)).await?;
                }
                if bookmark {
                    out.line("BOOKMARK", &self.bookmark(version, true)).await?;
                }
                version
            }
        };
        let period = self.bookmarks.unwrap_or(self.timeout);
        let mut bookmarks = interval_at(Instant::now() + period, period);
        loop {
            changed.borrow_and_update();
            match self.store.since(resource, version) {
                Err(status) => return out.line("ERROR", &status.json().to_string()).await,
                Ok((newest, changes)) => {
                    for change in changes {
                        if let Some((kind, object)) = self.seen(&change) {
                            out.line(kind, &self.text(&object)).await?;
                        }
                    }
                    version = newest;
                }
            }
            tokio::select! {
                _ = changed.changed() => {}
                _ = bookmarks.tick(), if self.bookmarks.is_some() => {
                    out.line("BOOKMARK", &self.bookmark(version, false)).await?;
                }
                () = sleep_until(deadline) => {
                    if self.bookmarks.is_some() {
                        out.line("BOOKMARK", &self.bookmark(version, false)).await?;
                    }
                    return Ok(());
                }
                () = out.sender.closed() => return Err(Ended),
                end = self.ends.recv() => match end {
                    Ok(End::Gone) => {
                        let status = Status::expired(version, self.store.version());
                        return out.line("ERROR", &status.json().to_string()).await;
                    }
                    Ok(End::Whole) => return Ok(()),
                    Ok(End::InLine) => {
                        out.whole_lines = Some(0);
                        out.line("BOOKMARK", &self.bookmark(version, false)).await?;
                    }
                    Ok(End::Garbage) => out.send("<html>upstream timed out</html>\n".into()).await?,
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    fn text(&self, object: &Value) -> String {
        let mut text = String::new();
        write_object(&mut text, self.target.resource, object, self.form);
        text
    }

    /// How a change looks to this watch: what begins to fit is added, what fits no longer is deleted.
    fn seen(&self, change: &Change) -> Option<(&'static str, Arc<Value>)> {
        let fits = |object: &Option<Arc<Value>>| {
            object.clone().filter(|object| self.selector.takes(object))
        };
        match (fits(&change.before), fits(&change.after)) {
            (None, None) => None,
            (None, Some(after)) => Some(("ADDED", after)),
            (Some(_), Some(after)) => Some(("MODIFIED", after)),
            (Some(before), None) => {
                let mut last = Value::clone(&before);
                last["metadata"]["resourceVersion"] = change.version.to_string().into();
                Some(("DELETED", Arc::new(last)))
            }
        }
    }

    /// Typed as Go's encoder writes an empty object of the kind.
    fn bookmark(&self, version: u64, ends_initial: bool) -> String {
        let mut metadata =
            json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.target.resource {
            Resource::Pods => {
                json!({"metadata": metadata, "spec": {"containers": null}, "status": {}})
            }
            Resource::Leases => json!({"metadata": metadata, "spec": {}}),
            _ => json!({"metadata": metadata}),
        };
        self.text(&object)
    }
}

struct Out {
    sender: Sender,
    /// How many whole lines are still sent before the cut; `None`: all.
    whole_lines: Option<usize>,
}

impl Out {
    async fn line(&mut self, kind: &str, object: &str) -> Result<(), Ended> {
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        match &mut self.whole_lines {
            Some(0) => {
                self.send(Bytes::copy_from_slice(&line.as_bytes()[..line.len() / 2]))
                    .await?;
                let _ = self.sender.send(Err(Cut)).await;
                Err(Ended)
            }
            Some(left) => {
                *left -= 1;
                self.send(line.into()).await
            }
            None => self.send(line.into()).await,
        }
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Ended> {
        self.sender.send(Ok(bytes)).await.map_err(|_| Ended)
    }
}
