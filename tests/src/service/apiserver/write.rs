//! POST, PUT, PATCH and DELETE of one object.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

use super::{
    resource::{Resource, Target, Verb},
    status::Status,
    store::{Key, Store},
};

/// Of all of a ConfigMap's values together (`pkg/apis/core/validation`, MaxSecretSize).
const MAX_DATA: usize = 1 << 20;

/// Answers with the object as it is now, and the status code.
///
/// # Errors
/// 400, 404, 409 and 422 as the real one.
pub fn write(store: &Store, target: &Target, body: &[u8]) -> Result<(u16, Arc<Value>), Status> {
    let namespace = target.namespace.clone().unwrap_or_default();
    if target.verb == Verb::Delete {
        let name = target.name.clone().unwrap_or_default();
        let key: Key = (target.resource, namespace, name.clone());
        let last = store.get(&key);
        return match last.filter(|_| store.delete(&key)) {
            Some(last) => Ok((200, last)),
            None => Err(Status::not_found(target.resource, &name)),
        };
    }
    let mut object: Value = serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })?;
    if target.verb != Verb::Patch {
        for (field, must) in [
            ("kind", target.resource.kind().to_owned()),
            ("apiVersion", target.resource.api_version()),
        ] {
            if object.get(field).is_some_and(|given| *given != must) {
                let given = &object[field];
                return Err(Status::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected one ({must})"
                )));
            }
        }
    }
    let given = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let name = target.name.clone().unwrap_or_else(|| given.clone());
    if name.is_empty() || (!given.is_empty() && given != name) {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    if target.verb != Verb::Patch {
        object["metadata"]["name"] = name.clone().into();
        object["metadata"]["namespace"] = namespace.clone().into();
        validate(target.resource, &name, &object)?;
    }
    let key: Key = (target.resource, namespace, name.clone());
    match target.verb {
        Verb::Create => {
            let made = store.create(key, object)?;
            Ok((201, made))
        }
        Verb::Update => Ok((200, store.update(key, |_| object)?)),
        _ => {
            let known = store
                .get(&key)
                .ok_or_else(|| Status::not_found(target.resource, &name))?;
            validate(target.resource, &name, &merged(&known, &object))?;
            Ok((200, store.update(key, |known| merged(known, &object))?))
        }
    }
}

fn validate(resource: Resource, name: &str, object: &Value) -> Result<(), Status> {
    if resource != Resource::ConfigMaps {
        return Ok(());
    }
    let values = |field: &str| -> Map<String, Value> {
        object[field].as_object().cloned().unwrap_or_default()
    };
    let text = values("data");
    let text = text.values().filter_map(Value::as_str).map(str::len);
    let mut size: usize = text.sum();
    for (key, value) in values("binaryData") {
        let bytes = BASE64_STANDARD.decode(value.as_str().unwrap_or("?"));
        size += bytes
            .map_err(|error| {
                Status::bad_request(format!("binaryData[{key}]: illegal base64 data: {error}"))
            })?
            .len();
    }
    if size > MAX_DATA {
        let message = format!(
            "ConfigMap {name:?} is invalid: []: Too long: may not be more than {MAX_DATA} bytes"
        );
        return Err(Status::invalid("ConfigMap", name, "", message));
    }
    Ok(())
}

/// JSON merge patch, RFC 7396.
fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut fields = target.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            let old = fields.get(name).cloned().unwrap_or(Value::Null);
            fields.insert(name.clone(), merged(&old, value));
        }
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_null_removes_and_the_rest_is_merged() {
        let old = json!({"a": {"b": 1, "c": 2}, "d": 3});
        let patch = json!({"a": {"b": null, "e": 4}});
        assert_eq!(merged(&old, &patch), json!({"a": {"c": 2, "e": 4}, "d": 3}));
    }
}
