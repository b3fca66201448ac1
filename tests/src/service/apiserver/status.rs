//! Errors as an API server tells them.
//!
//! Messages: kubernetes `staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go` and `apiserver/pkg/storage/errors.go`.

use serde_json::{Value, json};

use super::resource::{Resource, Target};

/// A `Status` object of a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Value,
    /// Seconds: sent as a header, too.
    pub retry_after: Option<u32>,
}

impl Status {
    #[must_use]
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
            retry_after: None,
        }
    }

    fn about(mut self, resource: Resource, name: &str) -> Self {
        let mut details = json!({"name": name, "kind": resource.plural()});
        if !resource.group().is_empty() {
            details["group"] = resource.group().into();
        }
        self.details = details;
        self
    }

    #[must_use]
    pub fn not_found(resource: Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource.qualified());
        Self::new(404, "NotFound", message).about(resource, name)
    }

    #[must_use]
    pub fn already_exists(resource: Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Self::new(409, "AlreadyExists", message).about(resource, name)
    }

    #[must_use]
    pub fn conflict(resource: Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; please apply your changes to the \
             latest version and try again",
            resource.qualified()
        );
        Self::new(409, "Conflict", message).about(resource, name)
    }

    #[must_use]
    pub fn forbidden(target: &Target, user: &str) -> Self {
        let scope = match &target.namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let name = target.name.as_deref().unwrap_or_default();
        let subject = match name {
            "" => target.resource.qualified(),
            name => format!("{} {name:?}", target.resource.qualified()),
        };
        let message = format!(
            "{subject} is forbidden: User {user:?} cannot {} resource {:?} in API group {:?} {scope}",
            target.verb.name(),
            target.resource.plural(),
            target.resource.group(),
        );
        Self::new(403, "Forbidden", message).about(target.resource, name)
    }

    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// ListOptions or an object that does not validate.
    #[must_use]
    pub fn invalid(kind: &str, name: &str, group: &str, message: impl Into<String>) -> Self {
        let mut status = Self::new(422, "Invalid", message);
        status.details = json!({"name": name, "group": group, "kind": kind});
        status
    }

    /// The resourceVersion that a watch asks for was compacted away.
    #[must_use]
    pub fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {asked} ({oldest})"),
        )
    }

    #[must_use]
    pub fn expired_continue() -> Self {
        Self::new(
            410,
            "Expired",
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
             the continue parameter.",
        )
    }

    #[must_use]
    pub fn too_many_requests(retry_after: u32) -> Self {
        let mut status = Self::new(
            429,
            "TooManyRequests",
            "Too many requests, please try again later.",
        );
        status.details = json!({"retryAfterSeconds": retry_after});
        status.retry_after = Some(retry_after);
        status
    }

    #[must_use]
    pub fn json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
            "reason": self.reason, "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
