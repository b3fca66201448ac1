//! Field selectors.

use serde_json::Value;

use super::{
    resource::{Resource, Target},
    status::Status,
};

/// What a list or watch is limited to.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    namespace: Option<String>,
    /// Field, value, whether it must be equal.
    terms: Vec<(String, String, bool)>,
}

impl Selector {
    /// # Errors
    /// 400 for a field that the resource has no selector for, and for label selectors, which the lab does not know.
    pub fn of(target: &Target) -> Result<Self, Status> {
        if !target.parameter("labelSelector").is_empty() {
            return Err(Status::bad_request("the lab knows no label selectors"));
        }
        let mut terms = Vec::new();
        for term in target.parameter("fieldSelector").split(',') {
            if term.is_empty() {
                continue;
            }
            let parts = match term.split_once("!=") {
                Some((field, value)) => Some((field, value, false)),
                None => term
                    .split_once("==")
                    .or_else(|| term.split_once('='))
                    .map(|(field, value)| (field, value, true)),
            };
            let Some((field, value, equal)) = parts else {
                return Err(Status::bad_request(format!(
                    "unable to parse requirement: invalid selector: {term:?}; can't understand {term:?}"
                )));
            };
            let of_pods = matches!(
                field,
                "spec.nodeName" | "status.phase" | "spec.serviceAccountName"
            );
            let known = matches!(field, "metadata.name" | "metadata.namespace")
                || (target.resource == Resource::Pods && of_pods);
            if !known {
                return Err(Status::bad_request(format!(
                    "field label not supported: {field}"
                )));
            }
            terms.push((field.to_owned(), value.to_owned(), equal));
        }
        Ok(Self {
            namespace: target.namespace.clone(),
            terms,
        })
    }

    #[must_use]
    pub fn takes(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.namespace
            .as_deref()
            .is_none_or(|namespace| metadata["namespace"] == namespace)
            && self.terms.iter().all(|(field, value, equal)| {
                let pointer = format!("/{}", field.replace('.', "/"));
                let found = object.pointer(&pointer).and_then(Value::as_str);
                (found.unwrap_or_default() == value) == *equal
            })
    }
}
