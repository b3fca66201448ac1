//! The resources that are served, and requests for them.

use hyper::{Method, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Pods,
    ServiceAccounts,
    ConfigMaps,
    Leases,
    /// ACK's.
    PodIdentityAssociations,
}

impl Resource {
    const ALL: [Self; 5] = [
        Self::Pods,
        Self::ServiceAccounts,
        Self::ConfigMaps,
        Self::Leases,
        Self::PodIdentityAssociations,
    ];

    /// Empty for the core group.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Pods | Self::ServiceAccounts | Self::ConfigMaps => "",
            Self::Leases => "coordination.k8s.io",
            Self::PodIdentityAssociations => "eks.services.k8s.aws",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::PodIdentityAssociations => "v1alpha1",
            _ => "v1",
        }
    }

    #[must_use]
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::ServiceAccounts => "serviceaccounts",
            Self::ConfigMaps => "configmaps",
            Self::Leases => "leases",
            Self::PodIdentityAssociations => "podidentityassociations",
        }
    }

    /// As it is named in error messages: with its group, where it has one.
    #[must_use]
    pub fn qualified(self) -> String {
        match self.group() {
            "" => self.plural().to_owned(),
            group => format!("{}.{group}", self.plural()),
        }
    }

    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Pods => "Pod",
            Self::ServiceAccounts => "ServiceAccount",
            Self::ConfigMaps => "ConfigMap",
            Self::Leases => "Lease",
            Self::PodIdentityAssociations => "PodIdentityAssociation",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
}

impl Verb {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub verb: Verb,
    pub resource: Resource,
    /// `None` for all namespaces.
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// Decoded, in their order.
    pub query: Vec<(String, String)>,
}

impl Target {
    /// `None` for paths that are not served.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        Self::parse(
            request.method(),
            request.uri().path(),
            request.uri().query(),
        )
    }

    fn parse(method: &Method, path: &str, query: Option<&str>) -> Option<Self> {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let prefix = if parts.first() == Some(&"apis") { 3 } else { 2 };
        let rest = parts.split_off(prefix.min(parts.len()));
        let (group, version) = match parts[..] {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => return None,
        };
        let (namespace, plural, name) = match rest[..] {
            [plural] => (None, plural, None),
            ["namespaces", namespace, plural] => (Some(namespace), plural, None),
            ["namespaces", namespace, plural, name] => (Some(namespace), plural, Some(name)),
            _ => return None,
        };
        let resource = Resource::ALL.into_iter().find(|resource| {
            (resource.group(), resource.version(), resource.plural()) == (group, version, plural)
        })?;
        let query: Vec<(String, String)> = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (decode(key), decode(value)))
            .collect();
        let watch = query
            .iter()
            .any(|(key, value)| key == "watch" && matches!(value.as_str(), "1" | "true"));
        let verb = match (method, name) {
            (&Method::GET, Some(_)) => Verb::Get,
            (&Method::GET, None) if watch => Verb::Watch,
            (&Method::GET, None) => Verb::List,
            (&Method::POST, None) => Verb::Create,
            (&Method::PUT, Some(_)) => Verb::Update,
            (&Method::PATCH, Some(_)) => Verb::Patch,
            (&Method::DELETE, Some(_)) => Verb::Delete,
            _ => return None,
        };
        Some(Self {
            verb,
            resource,
            namespace: namespace.map(decode),
            name: name.map(decode),
            query,
        })
    }

    /// A parameter; empty where it is absent, as for Go's url.Values.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &str {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), "1" | "true")
    }
}

/// Percent-decoding, with `+` for a blank.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                std::str::from_utf8(&hex)
                    .ok()
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
                    .unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &Method, path: &str, query: &str) -> Option<(Verb, Resource)> {
        Target::parse(method, path, Some(query)).map(|target| (target.verb, target.resource))
    }

    #[test]
    fn paths_and_methods_tell_verb_and_resource() {
        let pods = "/api/v1/pods";
        let get = &Method::GET;
        assert_eq!(
            parse(get, pods, "limit=500"),
            Some((Verb::List, Resource::Pods))
        );
        assert_eq!(
            parse(get, pods, "watch=true"),
            Some((Verb::Watch, Resource::Pods))
        );
        assert_eq!(parse(get, "/apis/v1/pods", ""), None);
        let lease = "/apis/coordination.k8s.io/v1/namespaces/n/leases/l";
        assert_eq!(
            parse(&Method::PUT, lease, ""),
            Some((Verb::Update, Resource::Leases))
        );
        let ack = "/apis/eks.services.k8s.aws/v1alpha1/podidentityassociations";
        assert_eq!(
            parse(get, ack, ""),
            Some((Verb::List, Resource::PodIdentityAssociations))
        );
        assert_eq!(parse(get, "/", ""), None);
        assert_eq!(parse(get, "/api", ""), None);
    }

    #[test]
    fn parameters_are_decoded() {
        let target = Target::parse(
            &Method::GET,
            "/api/v1/pods",
            Some("fieldSelector=spec.nodeName%3Dn1&limit"),
        )
        .unwrap();
        assert_eq!(target.parameter("fieldSelector"), "spec.nodeName=n1");
        assert_eq!(target.parameter("limit"), "");
    }
}
