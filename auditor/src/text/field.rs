//! Fields of an event that may be missing, null, or of another type than the contract says.

use serde_json::Value;

/// What `pointer` (RFC 6901) leads to; none where that is null.
pub(super) fn at<'a>(event: &'a Value, pointer: &str) -> Option<&'a Value> {
    event.pointer(pointer).filter(|value| !value.is_null())
}

pub(super) fn text<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    event.pointer(pointer)?.as_str()
}

pub(super) fn number(event: &Value, pointer: &str) -> Option<u64> {
    event.pointer(pointer)?.as_u64()
}

pub(super) fn is_true(event: &Value, pointer: &str) -> bool {
    event.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// The texts of a list; what is none is left out.
pub(super) fn texts<'a>(event: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = event.pointer(pointer).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}
