//! A file of pods and ServiceAccounts, as `kubectl get pods,serviceaccounts -A -o json` or `-o yaml` prints it.
//!
//! Lists are taken apart while they are read: one item at a time is held in its raw shape.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{Pod, ServiceAccount, convert, raw};

/// Pods (of every node) and ServiceAccounts that a file holds. Other kinds are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub pods: Vec<Pod>,
    pub service_accounts: Vec<ServiceAccount>,
}

/// Why a file is not a list of Kubernetes objects; the message names item and field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error(
        "is empty; expected a v1 List of pods and ServiceAccounts (kubectl get pods,serviceaccounts -A -o json)"
    )]
    Empty,
    #[error("not a JSON list of Kubernetes objects: {0}")]
    Json(String),
    #[error("not a YAML list of Kubernetes objects: {0}")]
    Yaml(String),
}

/// Reads JSON (one object or several on end) or YAML (one document or several).
///
/// A `v1` `List`, a `PodList`, a `ServiceAccountList`, a bare object: all are taken.
///
/// # Errors
/// On wrong syntax, and on a pod or ServiceAccount of a wrong shape: half a list is not used.
pub fn parse(bytes: &[u8]) -> Result<Contents, ParseError> {
    let mut contents = Contents::default();
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(ParseError::Empty),
        Some(b'{') => json(bytes, &mut contents)?,
        Some(_) => yaml(bytes, &mut contents)?,
    }
    Ok(contents)
}

fn json(bytes: &[u8], contents: &mut Contents) -> Result<(), ParseError> {
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    loop {
        let document: Document =
            serde_path_to_error::deserialize(&mut parser).map_err(|e| ParseError::Json(at(e)))?;
        contents.merge(document);
        if parser.end().is_ok() {
            return Ok(());
        }
    }
}

fn yaml(bytes: &[u8], contents: &mut Contents) -> Result<(), ParseError> {
    // The defaults are meant for configuration: the pods of a large cluster are millions of nodes. The file's size is limited already.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 40_000_000,
            max_nodes: 20_000_000,
            max_documents: 100_000,
        },
    };
    let documents: Vec<Located> = serde_saphyr::from_slice_multiple_with_options(bytes, options)
        .map_err(|e| ParseError::Yaml(e.without_snippet().to_string()))?;
    if documents.is_empty() {
        return Err(ParseError::Empty);
    }
    for Located(document) in documents {
        contents.merge(document);
    }
    Ok(())
}

impl Contents {
    fn merge(&mut self, document: Document) {
        self.pods.extend(document.0.pods);
        self.service_accounts.extend(document.0.service_accounts);
    }

    fn add(&mut self, object: Object) {
        match object {
            Object::Pod(pod) => self.pods.push(*pod),
            Object::ServiceAccount(account) => self.service_accounts.push(account),
            Object::Other => {}
        }
    }
}

/// `items[3].metadata.labels: invalid type: …`
fn at<E: fmt::Display>(error: serde_path_to_error::Error<E>) -> String {
    let path = error.path().to_string();
    let message = error.into_inner().to_string();
    // An item's own check has named its place already.
    if path == "." || message.starts_with(&path) {
        message
    } else {
        format!("{path}: {message}")
    }
}

/// A document whose errors say where they are.
struct Located(Document);

impl<'de> Deserialize<'de> for Located {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_path_to_error::deserialize(deserializer)
            .map(Self)
            .map_err(|e| D::Error::custom(at(e)))
    }
}

/// One JSON or YAML document: a list, or a bare object.
struct Document(Contents);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(DocumentVisitor)
    }
}

struct DocumentVisitor;

impl<'de> Visitor<'de> for DocumentVisitor {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a v1 List or a Kubernetes object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut contents = Contents::default();
        let mut whole = Raw::default();
        let mut items: Option<Items> = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "items" => items = Some(map.next_value::<Option<Items>>()?.unwrap_or_default()),
                "kind" => whole.kind = map.next_value()?,
                "metadata" => whole.metadata = map.next_value()?,
                "spec" => whole.spec = map.next_value()?,
                "status" => whole.status = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match items {
            Some(items) => {
                contents = items.contents;
                // The API's own PodList says the kind once, and may say it last.
                let kind = whole.kind.as_deref().and_then(|k| k.strip_suffix("List"));
                let kind = kind.filter(|kind| !kind.is_empty());
                for (index, mut raw) in items.kindless {
                    raw.kind = kind.map(ToOwned::to_owned);
                    let object = raw
                        .object()
                        .map_err(|e| A::Error::custom(format!("items[{index}].{e}")))?;
                    contents.add(object);
                }
            }
            None if whole.kind.is_none() => {
                return Err(A::Error::custom(
                    "has neither `items` nor `kind`: not a v1 List, nor a Kubernetes object",
                ));
            }
            None => contents.add(whole.object().map_err(A::Error::custom)?),
        }
        Ok(Document(contents))
    }
}

#[derive(Default)]
struct Items {
    contents: Contents,
    /// With their index, until the list's own kind is known.
    kindless: Vec<(usize, Raw)>,
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items, A::Error> {
        let mut items = Items::default();
        let mut index = 0;
        while let Some(raw) = seq.next_element::<Raw>()? {
            if raw.kind.is_none() {
                items.kindless.push((index, raw));
            } else {
                let object = raw
                    .object()
                    .map_err(|e| A::Error::custom(format!("items[{index}].{e}")))?;
                items.contents.add(object);
            }
            index += 1;
        }
        Ok(items)
    }
}

enum Object {
    Pod(Box<Pod>),
    ServiceAccount(ServiceAccount),
    Other,
}

/// Any object: metadata has one shape for all, spec and status depend on the kind.
#[derive(Default, Deserialize)]
struct Raw {
    kind: Option<String>,
    metadata: Option<raw::Metadata>,
    spec: Option<Value>,
    status: Option<Value>,
}

impl Raw {
    /// The message of the error begins with the field's path within the object.
    fn object(self) -> Result<Object, String> {
        let metadata = self.metadata.unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let missing = |field: convert::Missing| format!("{}: missing or empty", field.0);
        match self.kind.as_deref() {
            Some("Pod") => {
                let spec = part("spec", self.spec, &name)?;
                let status = part("status", self.status, &name)?;
                convert::pod(metadata, spec, status)
                    .map(|pod| Object::Pod(Box::new(pod)))
                    .map_err(missing)
            }
            Some("ServiceAccount") => convert::service_account(metadata)
                .map(Object::ServiceAccount)
                .map_err(missing),
            Some(_) => Ok(Object::Other),
            None => Err(format!("kind: missing (object `{name}`)")),
        }
    }
}

fn part<T: Default + DeserializeOwned>(
    field: &str,
    value: Option<Value>,
    pod: &str,
) -> Result<T, String> {
    let Some(value) = value else {
        return Ok(T::default());
    };
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let path = match path.as_str() {
            "." => field.to_owned(),
            path => format!("{field}.{path}"),
        };
        format!("{path}: {} (pod `{pod}`)", e.into_inner())
    })
}

#[cfg(test)]
mod tests;
