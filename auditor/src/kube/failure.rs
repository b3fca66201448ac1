//! Why a request did not give what was asked for.

use std::time::Duration;

use super::Resource;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An HTTP status, or the same as an event of a watch.
    #[error("HTTP {code}{}", in_parentheses(message))]
    Status {
        code: u16,
        /// The server's own words; may be empty.
        message: String,
        retry_after: Option<Duration>,
    },
    /// No connection, or no answer on it.
    #[error("{0}")]
    Unreachable(String),
    /// The answer was cut short.
    #[error("the answer was cut short: {0}")]
    Cut(String),
    /// The answer is not what the protocol says.
    #[error("not an answer of a Kubernetes API server: {0}")]
    Garbled(String),
}

fn in_parentheses(message: &str) -> String {
    if message.is_empty() {
        return String::new();
    }
    format!(" ({message})")
}

impl Failure {
    /// An error and its causes, each said once.
    pub(super) fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        // kube's names for where it noticed.
        for name in ["ServiceError: ", "HyperError: "] {
            if let Some(rest) = text.strip_prefix(name) {
                text = rest.to_owned();
            }
        }
        let mut next = error.source();
        while let Some(cause) = next {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            next = cause.source();
        }
        text
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            Self::Unreachable(_) | Self::Cut(_) | Self::Garbled(_) => None,
        }
    }

    /// The place in history is no longer kept, or is of another history: everything must be listed anew.
    pub(super) fn needs_listing(&self) -> bool {
        match self {
            Self::Status { code: 410, .. } => true,
            // etcd was restored from an older snapshot: this version would be waited for for ever.
            Self::Status { message, .. } => message.contains("Too large resource version"),
            Self::Unreachable(_) | Self::Cut(_) | Self::Garbled(_) => false,
        }
    }

    /// What servers say that know no streaming lists: 422 since `resourceVersionMatch` is forbidden for a watch (1.19 to
    /// 1.26), or the feature gate WatchList is off (1.27 and later, off by default in 1.33).
    pub(super) fn refuses_streaming(&self) -> bool {
        matches!(self.code(), Some(400 | 405 | 406 | 422 | 501))
    }

    /// Nothing but somebody's deed will change it.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.code(), Some(400..=407 | 422))
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Cut(_) | Self::Garbled(_) => None,
        }
    }

    /// For an operator: what is wrong, and what to do where something is to be done. The same for the same failure.
    #[must_use]
    pub fn describe(&self, resource: &Resource, verbs: &str) -> String {
        let plural = resource.plural;
        match self {
            Self::Status {
                code: 403, message, ..
            } => {
                let (kind, place) = match &resource.namespace {
                    Some(namespace) => ("Role", format!(" in namespace {namespace}")),
                    None => ("ClusterRole", String::new()),
                };
                let group = match resource.api.strip_prefix("/apis/") {
                    Some(api) => api.split('/').next().unwrap_or_default(),
                    None => "",
                };
                format!(
                    "the API server forbids it: RBAC must allow {verbs} on {plural}{place} (a {kind} rule with \
                     apiGroups [\"{group}\"], resources [\"{plural}\"]){}",
                    in_parentheses(message)
                )
            }
            Self::Status {
                code: 401, message, ..
            } => format!(
                "the API server does not know us: the token or certificate is wrong or has expired{}",
                in_parentheses(message)
            ),
            Self::Status { code: 404, .. } => {
                format!(
                    "the API server has no {plural} at {}: is it installed?",
                    resource.api
                )
            }
            Self::Status { code: 429, .. } => {
                format!("the API server asks for patience with {plural} (HTTP 429)")
            }
            _ => format!("cannot read {plural} from the API server: {self}"),
        }
    }
}
