//! The ConfigMap that `auditor sync-associations` writes and all nodes read.
//!
//! | key | contents |
//! |---|---|
//! | `binaryData["associations.json.zst"]` | `{"associations":[…]}`, as [`super::parse`] reads it, compressed by zstd |
//! | `format` | `1`; a reader refuses what it does not know |
//! | `generation` | counts the contents that differed, from 1 |
//! | `hash` | first 16 hex digits of the SHA-256 of the decompressed document |
//! | `startedAt` | when the last complete reading was begun, RFC 3339: what is not in the document was not bound then |
//! | `complete` | `true`; `false` while no reading has been complete, and then nothing can be said of what is missing |
//! | `intervalSeconds` | how often it is read |
//! | `cluster` | the EKS cluster's name; left out where it is not known |
//! | `source` | where they were read: `eks`, `ack`, `file:PATH` |
//! | `count` | of the associations; for people who look with `kubectl` |
//! | `trouble` | why the last reading failed; left out while all is well |

use std::{collections::BTreeMap, io::Read, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};

use super::{Ledger, ParseError, parse};
use crate::watched_file::content_hash;

/// The only version of the format so far.
pub const FORMAT: &str = "1";
/// Under this key of `binaryData`.
pub const DOCUMENT: &str = "associations.json.zst";

/// A day, in seconds.
const LONGEST_INTERVAL: u64 = 24 * 60 * 60;
/// What Kubernetes allows for the values of one ConfigMap (`MaxSecretSize`, pkg/apis/core/types.go): 1 MiB.
const MAX_SIZE: usize = 1 << 20;
/// Left of that for names, labels and managedFields, so that the object as a whole stays below 1 MiB.
const RESERVE: usize = 16 << 10;
/// Of the document, decompressed. 5,000 associations are some 2 MiB, and 12 MiB where each has a session policy of the 2,048
/// characters that STS allows. A node holds it whole for as long as it reads it.
pub const MAX_DOCUMENT: usize = 16 << 20;
/// 8 MiB, what RFC 8878 has every decoder support, and what the levels up to 19 need.
const WINDOW_LOG: u32 = 23;
const LEVEL: i32 = 12;

/// A ConfigMap's contents with a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    pub ledger: Ledger,
    pub interval: Option<Duration>,
    pub cluster: Option<Arc<str>>,
    pub source: Arc<str>,
}

/// Why a sheet does not go into a ConfigMap.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error(
        "{count} associations make a ConfigMap of {size} bytes, and Kubernetes allows {allowed}; \
         what it held before stays. Remove associations that nothing uses, or their inline policies"
    )]
    TooLarge {
        count: usize,
        size: usize,
        allowed: usize,
    },
    #[error("cannot compress the associations")]
    Compress(#[source] std::io::Error),
}

/// Why a ConfigMap is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("it has no {0:?}: was it written by `auditor sync-associations`?")]
    Missing(&'static str),
    #[error("its {key:?} is {value:?}: was it changed by hand?")]
    Value { key: &'static str, value: String },
    #[error(
        "it has format {0:?} and this auditor reads {FORMAT:?}: upgrade the auditors on the nodes first, then the one that syncs"
    )]
    Format(String),
    #[error("its associations cannot be decompressed: {0}")]
    Compression(String),
    #[error("its associations are more than {MAX_DOCUMENT} bytes when decompressed")]
    Bomb,
    #[error("its associations have hash {found} and it says {said}: was it changed by hand?")]
    Hash { said: String, found: String },
    #[error("its associations cannot be read: {0}")]
    Document(#[from] ParseError),
}

/// `data` and `binaryData`.
pub type Contents = (BTreeMap<String, String>, BTreeMap<String, ByteString>);

/// # Errors
/// When it is too large for a ConfigMap.
pub fn encode(sheet: &Sheet) -> Result<Contents, EncodeError> {
    let Sheet {
        ledger,
        interval,
        cluster,
        source,
    } = sheet;
    let document = zstd::bulk::compress(&ledger.payload(), LEVEL).map_err(EncodeError::Compress)?;
    let mut data = BTreeMap::from(
        [
            ("format", FORMAT.to_owned()),
            ("generation", ledger.generation.to_string()),
            ("hash", ledger.hash.clone()),
            ("startedAt", ledger.started_at.to_string()),
            ("complete", ledger.complete.to_string()),
            ("source", source.to_string()),
            ("count", ledger.len().to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value)),
    );
    let mut optional = |key: &str, value: Option<String>| {
        data.extend(value.map(|value| (key.to_owned(), value)));
    };
    optional(
        "intervalSeconds",
        interval.map(|interval| interval.as_secs().to_string()),
    );
    optional("cluster", cluster.as_deref().map(ToOwned::to_owned));
    optional("trouble", ledger.trouble.clone());
    let size = DOCUMENT.len()
        + document.len()
        + data
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum::<usize>();
    let allowed = MAX_SIZE - RESERVE;
    if size > allowed {
        let count = ledger.len();
        return Err(EncodeError::TooLarge {
            count,
            size,
            allowed,
        });
    }
    let binary = BTreeMap::from([(DOCUMENT.to_owned(), ByteString(document))]);
    Ok((data, binary))
}

/// Total and bounded: whatever stands in the ConfigMap, it is a sheet or an error.
///
/// # Errors
/// When it is not of our format, or damaged.
pub fn decode(object: &ConfigMap) -> Result<Sheet, DecodeError> {
    let data = object.data.as_ref();
    let optional = |key: &'static str| data.and_then(|data| data.get(key)).map(String::as_str);
    let required = |key: &'static str| optional(key).ok_or(DecodeError::Missing(key));
    let format = required("format")?;
    if format != FORMAT {
        return Err(DecodeError::Format(clip(format)));
    }
    let wrong = |key, value: &str| DecodeError::Value {
        key,
        value: clip(value),
    };
    let value = required("generation")?;
    let generation = value.parse().map_err(|_| wrong("generation", value))?;
    let value = required("startedAt")?;
    let started_at: Timestamp = value.parse().map_err(|_| wrong("startedAt", value))?;
    let value = required("complete")?;
    let complete = value.parse().map_err(|_| wrong("complete", value))?;
    let interval = optional("intervalSeconds")
        .map(|value| match value.parse() {
            Ok(seconds) if seconds <= LONGEST_INTERVAL => Ok(seconds),
            _ => Err(wrong("intervalSeconds", value)),
        })
        .transpose()?
        .map(Duration::from_secs);
    let said = required("hash")?;
    let compressed = object
        .binary_data
        .as_ref()
        .and_then(|binary| binary.get(DOCUMENT))
        .ok_or(DecodeError::Missing(DOCUMENT))?;

    let document = decompress(&compressed.0)?;
    let found = content_hash(&document);
    if found != said {
        return Err(DecodeError::Hash {
            said: clip(said),
            found,
        });
    }
    let listing = parse(&document, None)?;
    let trouble = optional("trouble").map(ToOwned::to_owned);
    let mut ledger = Ledger::restore(
        listing.associations,
        generation,
        started_at,
        complete,
        trouble,
    );
    // Of the bytes that were read: a later version may write the same associations in other words.
    ledger.hash = found;
    Ok(Sheet {
        ledger,
        interval,
        cluster: optional("cluster")
            .filter(|name| !name.is_empty())
            .map(Arc::from),
        source: optional("source").unwrap_or_default().into(),
    })
}

fn decompress(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let failed = |error: std::io::Error| DecodeError::Compression(error.to_string());
    let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(failed)?;
    decoder.window_log_max(WINDOW_LOG).map_err(failed)?;
    let mut document = Vec::new();
    decoder
        .take(MAX_DOCUMENT as u64 + 1)
        .read_to_end(&mut document)
        .map_err(failed)?;
    if document.len() > MAX_DOCUMENT {
        return Err(DecodeError::Bomb);
    }
    Ok(document)
}

/// Anybody's text, in a message of ours.
fn clip(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
