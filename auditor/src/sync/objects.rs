//! Single objects of one kind: read, made and replaced, each within a time limit.

use std::{fmt::Debug, time::Duration};

use ::kube::{Api, Client, api::PostParams};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

/// One of them is far longer than an API server that can answer takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why an object was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    #[error("somebody else has written it meanwhile")]
    Conflict,
    #[error("it is gone")]
    Gone,
    #[error(
        "the API server forbids it: RBAC must allow {verb} on {plural} in namespace {namespace} (a Role rule with \
         apiGroups [\"{group}\"], resources [\"{plural}\"]) ({message})"
    )]
    Forbidden {
        verb: &'static str,
        plural: &'static str,
        group: &'static str,
        namespace: String,
        message: String,
    },
    #[error(
        "the API server does not know us: it answers 401 to {verb} on {plural} in namespace {namespace}; check the credentials \
         of the kubeconfig, or the pod's ServiceAccount token ({message})"
    )]
    Unauthorized {
        verb: &'static str,
        plural: &'static str,
        namespace: String,
        message: String,
    },
    #[error("the API server refuses it with {code}: {message}")]
    Refused { code: u16, message: String },
    /// Perhaps it goes well the next time.
    #[error("cannot reach the API server: {0}")]
    Unreachable(String),
}

impl ObjectError {
    /// Nobody but the user mends it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::Refused { .. }
        )
    }
}

/// All objects of kind `K` in one namespace.
#[derive(Clone)]
pub struct Objects<K> {
    api: Api<K>,
    /// As RBAC names them.
    plural: &'static str,
    group: &'static str,
    pub namespace: String,
}

impl Objects<ConfigMap> {
    #[must_use]
    pub fn config_maps(client: &Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            plural: "configmaps",
            group: "",
            namespace: namespace.to_owned(),
        }
    }
}

impl Objects<Lease> {
    #[must_use]
    pub fn leases(client: &Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client.clone(), namespace),
            plural: "leases",
            group: "coordination.k8s.io",
            namespace: namespace.to_owned(),
        }
    }
}

impl<K> Objects<K>
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    /// Null where there is none.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub async fn get(&self, name: &str) -> Result<Option<K>, ObjectError> {
        match self.bounded("get", self.api.get(name)).await {
            Ok(object) => Ok(Some(object)),
            Err(ObjectError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// See [`ObjectError`]; [`ObjectError::Conflict`] where there is one already.
    pub async fn create(&self, object: &K) -> Result<K, ObjectError> {
        let params = PostParams::default();
        self.bounded("create", self.api.create(&params, object))
            .await
    }

    /// Only if it is still of the version that `object` says.
    ///
    /// # Errors
    /// See [`ObjectError`].
    pub async fn replace(&self, name: &str, object: &K) -> Result<K, ObjectError> {
        let params = PostParams::default();
        self.bounded("update", self.api.replace(name, &params, object))
            .await
    }

    async fn bounded<T>(
        &self,
        verb: &'static str,
        request: impl Future<Output = Result<T, ::kube::Error>>,
    ) -> Result<T, ObjectError> {
        match timeout(TIMEOUT, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(::kube::Error::Api(status))) => Err(match status.code {
                409 => ObjectError::Conflict,
                404 if verb != "create" => ObjectError::Gone,
                401 => ObjectError::Unauthorized {
                    verb,
                    plural: self.plural,
                    namespace: self.namespace.clone(),
                    message: status.message.clone(),
                },
                403 => ObjectError::Forbidden {
                    verb,
                    plural: self.plural,
                    group: self.group,
                    namespace: self.namespace.clone(),
                    message: status.message.clone(),
                },
                429 | 500.. => ObjectError::Unreachable(format!(
                    "it answers {}: {}",
                    status.code, status.message
                )),
                code => ObjectError::Refused {
                    code,
                    message: status.message.clone(),
                },
            }),
            Ok(Err(error)) => Err(ObjectError::Unreachable(chain(&error))),
            Err(_) => Err(ObjectError::Unreachable(format!(
                "no answer within {TIMEOUT:?}"
            ))),
        }
    }
}

/// An error and its causes, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
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
