//! One line of a watch. The object in it stays text until somebody wants it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Failure;

#[derive(Debug)]
pub(super) enum Event<'a> {
    Applied(Object<'a>),
    Deleted(Object<'a>),
    Bookmark {
        resource_version: String,
        /// The listing that the watch began with is complete.
        ends_listing: bool,
    },
    /// Of a type that is not known: nothing to do with it.
    Other,
}

#[derive(Debug)]
pub(super) struct Object<'a> {
    pub uid: String,
    pub resource_version: String,
    pub json: &'a str,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// Of an object, or of the `metav1.Status` that stands in its place in an ERROR.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    uid: String,
    resource_version: String,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
}

impl<'a> Event<'a> {
    /// # Errors
    /// The server's own, where the event is an ERROR; else that this is no event.
    pub fn parse(line: &'a [u8]) -> Result<Self, Failure> {
        let garbled = |error: serde_json::Error| Failure::Garbled(error.to_string());
        let envelope: Envelope<'a> = serde_json::from_slice(line).map_err(garbled)?;
        let json = envelope.object.get();
        let Head {
            metadata,
            code,
            message,
        } = serde_json::from_str(json).map_err(garbled)?;
        if envelope.kind == "ERROR" {
            return Err(Failure::Status {
                code,
                message,
                retry_after: None,
            });
        }
        let resource_version = metadata.resource_version;
        if resource_version.is_empty() {
            return Err(Failure::Garbled(
                "an event without a resourceVersion".to_owned(),
            ));
        }
        let object = |resource_version| Object {
            uid: metadata.uid,
            resource_version,
            json,
        };
        Ok(match envelope.kind.as_str() {
            "ADDED" | "MODIFIED" => Self::Applied(object(resource_version)),
            "DELETED" => Self::Deleted(object(resource_version)),
            "BOOKMARK" => Self::Bookmark {
                resource_version,
                ends_listing: metadata
                    .annotations
                    .and_then(|annotations| annotations.initial_events_end)
                    .is_some_and(|end| end == "true"),
            },
            _ => Self::Other,
        })
    }
}
