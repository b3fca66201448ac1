//! GET of a collection: the whole, or page by page as of one version.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::{
    encode::{Form, write_object},
    resource::Target,
    selector::Selector,
    status::Status,
    store::{Store, key_of},
};

/// The answer's body.
///
/// # Errors
/// 400 for parameters that do not parse, 410 for a page of a version that was compacted away.
pub fn list(store: &Store, target: &Target, form: Form) -> Result<Bytes, Status> {
    let selector = Selector::of(target)?;
    let limit: usize = match target.parameter("limit") {
        "" => 0,
        // The watch cache, which answers these, knew no pages before 1.34.
        _ if target.parameter("resourceVersion") == "0" => 0,
        text => text
            .parse()
            .map_err(|_| Status::bad_request(format!("limit: invalid number {text:?}")))?,
    };
    let (version, after, all) = match target.parameter("continue") {
        "" => {
            let (version, all) = store.all(target.resource);
            (version, None, all)
        }
        token => {
            let (version, after) = Page::decode(token)?;
            let all = store.all_at(target.resource, version)?;
            (version, Some(after), all)
        }
    };
    let mut rest: Vec<Arc<Value>> = all
        .into_iter()
        .filter(|object| selector.takes(object))
        .filter(|object| {
            after
                .as_ref()
                .is_none_or(|after| place(target, object) > *after)
        })
        .collect();
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if limit > 0 && rest.len() > limit {
        let left = rest.split_off(limit).len();
        if let Some(last) = rest.last() {
            metadata["continue"] = Page::encode(version, &place(target, last)).into();
        }
        // Not known where a selector may leave more out.
        if target.parameter("fieldSelector").is_empty() {
            metadata["remainingItemCount"] = left.into();
        }
    }
    Ok(write(target, &metadata, &rest, form))
}

fn write(target: &Target, metadata: &Value, items: &[Arc<Value>], form: Form) -> Bytes {
    let (kind, version) = form.list_kind(target.resource);
    let mut text =
        format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{metadata},"items":["#);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_object(&mut text, target.resource, item, form.in_list());
    }
    text.push_str("]}\n");
    text.into()
}

/// Where an object stands in the list.
fn place(target: &Target, object: &Value) -> (String, String) {
    let (_, namespace, name) = key_of(target.resource, object);
    (namespace, name)
}

/// A continue token: opaque to clients.
struct Page;

impl Page {
    fn encode(version: u64, (namespace, name): &(String, String)) -> String {
        let token =
            json!({"v": "meta.k8s.io/v1", "rv": version, "start": format!("{namespace}/{name}")});
        BASE64_URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn decode(token: &str) -> Result<(u64, (String, String)), Status> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
        let token: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let start = token["start"]
            .as_str()
            .and_then(|start| start.split_once('/'));
        match (token["rv"].as_u64(), start) {
            (Some(version), Some((namespace, name))) => {
                Ok((version, (namespace.to_owned(), name.to_owned())))
            }
            _ => Err(Status::bad_request("continue key is not valid")),
        }
    }
}
