//! One page of a listing. The objects in it stay text until each is wanted.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::Failure;

#[derive(Deserialize)]
struct List<'a> {
    metadata: Metadata,
    /// Null where a server has none.
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

#[derive(Debug)]
pub(super) struct Page {
    pub resource_version: String,
    /// Names the next page.
    pub next: Option<String>,
}

impl Page {
    /// Appends what is in it to `items`; an object of another shape is left out, and said so.
    pub fn read<K: DeserializeOwned>(body: &[u8], items: &mut Vec<K>) -> Result<Self, Failure> {
        let list: List<'_> =
            serde_json::from_slice(body).map_err(|error| Failure::Garbled(error.to_string()))?;
        for item in list.items.unwrap_or_default() {
            items.extend(object(item.get()));
        }
        Ok(Self {
            resource_version: list.metadata.resource_version,
            next: list.metadata.next.filter(|next| !next.is_empty()),
        })
    }
}

/// Null for one of another shape: asking again would bring the same, and hold up all that come after it.
pub(super) fn object<K: DeserializeOwned>(json: &str) -> Option<K> {
    serde_json::from_str(json)
        .inspect_err(
            |error| tracing::warn!(%error, "the API server told of an object that cannot be read"),
        )
        .ok()
}
