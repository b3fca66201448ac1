//! Which objects are meant, and the requests for them.

use std::{fmt::Write as _, time::Duration};

/// Objects of one kind, in all namespaces or in one, of which a field selector may take some.
#[derive(Clone, Debug)]
pub struct Resource {
    /// `/api/v1` or `/apis/GROUP/VERSION`
    pub api: &'static str,
    /// As URLs and RBAC name it: `pods`.
    pub plural: &'static str,
    /// Null: all namespaces.
    pub namespace: Option<String>,
    /// `spec.nodeName=n1`
    pub field_selector: Option<String>,
    /// Whether the first listing may come from a server's cache, and lag by a moment. Cheap for the server, and right where
    /// nothing is concluded from what is absent.
    pub from_cache: bool,
}

impl Resource {
    #[must_use]
    pub fn path(&self) -> String {
        let Self { api, plural, .. } = self;
        match &self.namespace {
            Some(namespace) => format!("{api}/namespaces/{}/{plural}", encoded(namespace)),
            None => format!("{api}/{plural}"),
        }
    }

    /// One object by its name.
    #[must_use]
    pub fn object_path(&self, name: &str) -> String {
        format!("{}/{}", self.path(), encoded(name))
    }

    /// A page of a listing. `fresh`: not from a cache, whatever the resource allows.
    #[must_use]
    pub(super) fn list(&self, limit: u32, next: Option<&str>, fresh: bool) -> String {
        let mut query = Query::new(self);
        query.add("limit", &limit.to_string());
        match next {
            Some(next) => query.add("continue", next),
            // Without, the server reads a limited list from etcd, of all nodes' pods; `0` is its cache, by an index.
            None if self.from_cache && !fresh => query.add("resourceVersion", "0"),
            None => {}
        }
        query.text
    }

    /// A watch that begins with a listing (KEP-3157).
    #[must_use]
    pub(super) fn streaming_list(&self, lifetime: Duration) -> String {
        let mut query = Query::new(self);
        query.watch(lifetime);
        query.add("sendInitialEvents", "true");
        query.add("resourceVersionMatch", "NotOlderThan");
        query.text
    }

    #[must_use]
    pub(super) fn watch(&self, resource_version: &str, lifetime: Duration) -> String {
        let mut query = Query::new(self);
        query.watch(lifetime);
        query.add("resourceVersion", resource_version);
        query.text
    }
}

struct Query {
    text: String,
    separator: char,
}

impl Query {
    fn new(resource: &Resource) -> Self {
        let mut query = Self {
            text: resource.path(),
            separator: '?',
        };
        if let Some(selector) = &resource.field_selector {
            query.add("fieldSelector", selector);
        }
        query
    }

    fn watch(&mut self, lifetime: Duration) {
        self.add("watch", "true");
        self.add("allowWatchBookmarks", "true");
        self.add("timeoutSeconds", &lifetime.as_secs().max(1).to_string());
    }

    fn add(&mut self, key: &str, value: &str) {
        self.text.push(self.separator);
        self.separator = '&';
        self.text.push_str(key);
        self.text.push('=');
        self.text.push_str(&encoded(value));
    }
}

/// Percent-encoded but for RFC 3986's unreserved characters.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_what_is_meant() {
        let mut pods = Resource {
            api: "/api/v1",
            plural: "pods",
            namespace: None,
            field_selector: Some("spec.nodeName=n1".into()),
            from_cache: true,
        };
        let begin = "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1";
        assert_eq!(
            pods.list(100, None, false),
            format!("{begin}&limit=100&resourceVersion=0")
        );
        assert_eq!(pods.list(100, None, true), format!("{begin}&limit=100"));
        assert_eq!(
            pods.list(100, Some("a+b/c="), false),
            format!("{begin}&limit=100&continue=a%2Bb%2Fc%3D")
        );
        let watch = "&watch=true&allowWatchBookmarks=true&timeoutSeconds=290";
        let lifetime = Duration::from_secs(290);
        assert_eq!(
            pods.watch("7", lifetime),
            format!("{begin}{watch}&resourceVersion=7")
        );
        assert_eq!(
            pods.streaming_list(lifetime),
            format!("{begin}{watch}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
        );
        pods.namespace = Some("shop".into());
        assert_eq!(
            pods.object_path("a?b"),
            "/api/v1/namespaces/shop/pods/a%3Fb"
        );
    }
}
