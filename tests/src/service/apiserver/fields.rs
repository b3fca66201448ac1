//! `managedFields`: most of what an API server sends of a pod.

use serde_json::{Map, Value, json};

/// FieldsV1 of every field of `object`, as structured-merge-diff writes them: `f:` a field, `k:` a list's entry by its key.
#[must_use]
pub fn of(object: &Value) -> Value {
    match object {
        Value::Object(fields) => {
            let mut all: Map<String, Value> = fields
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "managedFields" | "resourceVersion"))
                .map(|(name, value)| (format!("f:{name}"), of(value)))
                .collect();
            all.insert(".".to_owned(), json!({}));
            Value::Object(all)
        }
        Value::Array(entries) => {
            let keyed = entries.iter().map(|entry| (key(entry), of(entry)));
            let mut all: Map<String, Value> = keyed.collect();
            all.insert(".".to_owned(), json!({}));
            Value::Object(all)
        }
        _ => json!({}),
    }
}

fn key(entry: &Value) -> String {
    let key = ["name", "type", "uid", "mountPath", "ip", "key"]
        .into_iter()
        .find_map(|field| entry.get(field).map(|value| json!({field: value})));
    match key {
        Some(key) => format!("k:{key}"),
        None => format!("v:{entry}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_keyed_entries() {
        let env = json!({"env": [{"name": "A", "value": "1"}]});
        let expected = json!({".": {}, "f:env": {".": {}, "k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}}});
        assert_eq!(of(&env), expected);
    }
}
