//! What is asked of the Kubernetes API server, and how much it answers.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters of API requests, shared by all who make some. A clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct ApiMetrics {
    requests: Family<RequestLabels, Counter>,
    received: Family<ResourceLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    verb: &'static str,
    resource: &'static str,
    /// The HTTP status; `error` where there was no answer.
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResourceLabels {
    resource: &'static str,
}

impl ApiMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "api_requests",
            "Requests to the Kubernetes API server, by its verb, resource and HTTP status (`error`: no answer)",
            self.requests.clone(),
        );
        registry.register(
            "api_received_bytes",
            "Bytes of bodies that the Kubernetes API server sent",
            self.received.clone(),
        );
    }

    /// `verb` and `resource` as RBAC names them; `code` is null where there was no answer.
    pub fn add_request(&self, verb: &'static str, resource: &'static str, code: Option<u16>) {
        let code = code.map_or_else(|| "error".to_owned(), |code| code.to_string());
        self.requests
            .get_or_create(&RequestLabels {
                verb,
                resource,
                code,
            })
            .inc();
    }

    pub fn add_received(&self, resource: &'static str, bytes: u64) {
        self.received
            .get_or_create(&ResourceLabels { resource })
            .inc_by(bytes);
    }

    /// Requests of that verb and resource, whatever the answer.
    #[cfg(test)]
    pub(crate) fn requests(&self, verb: &'static str, resource: &'static str, code: &str) -> u64 {
        let code = code.to_owned();
        let labels = RequestLabels {
            verb,
            resource,
            code,
        };
        self.requests.get_or_create(&labels).get()
    }

    #[cfg(test)]
    pub(crate) fn received(&self, resource: &'static str) -> u64 {
        self.received
            .get_or_create(&ResourceLabels { resource })
            .get()
    }
}
