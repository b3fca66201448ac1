//! JSON made to measure: without what is not known, and out of parts.

use serde_json::{Map, Value};

/// The same without nulls, empty lists and empty objects, at any depth: OCSF has no null, what is not known is absent.
pub(super) fn prune(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| {
                prune(member);
                !is_nothing(member)
            });
        }
        // A list's places may mean something, and ours have no nulls.
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Puts the members of `more` into `object`.
pub(super) fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(members), Value::Object(more)) = (object, more) {
        members.extend(more);
    }
}

/// Its members; none of what is no object.
pub(super) fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
