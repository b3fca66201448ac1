//! Finding the API server and the credentials for it.

use std::{env, path::PathBuf, time::Duration};

use ::kube::{
    Client, Config,
    config::{InClusterError, KubeConfigOptions, KubeconfigError},
};

const USER_AGENT: &str = concat!("eks-credential-auditor/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no client. Whether the API server answers is not asked yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    #[error("no kubeconfig, and not in a pod: {0}")]
    InCluster(#[source] Box<InClusterError>),
    #[error("no client can be made of the Kubernetes credentials: {0}")]
    Client(#[source] Box<::kube::Error>),
}

impl ConnectError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Kubeconfig(_) => {
                "mend the file that $KUBECONFIG or ~/.kube/config names; `kubectl --kubeconfig FILE get pods` tries it"
            }
            Self::InCluster(_) => {
                "set KUBECONFIG to a kubeconfig, or run in a pod with automountServiceAccountToken: true"
            }
            Self::Client(_) => {
                "check the certificates, the proxy and the exec plugin that the kubeconfig names"
            }
        }
    }
}

/// By $KUBECONFIG, else ~/.kube/config, else as a pod of the cluster. Sends nothing: an API server that is away is no
/// error here.
///
/// # Errors
/// The credentials are missing or wrong.
pub async fn connect() -> Result<Client, ConnectError> {
    let mut config = if has_kubeconfig() {
        Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .map_err(|error| ConnectError::Kubeconfig(Box::new(error)))?
    } else {
        Config::incluster_env().map_err(|error| ConnectError::InCluster(Box::new(error)))?
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A watch is silent between bookmarks: each request limits its own silence.
    config.read_timeout = None;
    // In the API server's audit log.
    config.headers.push((
        http::header::USER_AGENT,
        http::HeaderValue::from_static(USER_AGENT),
    ));
    client(config)
}

/// Of any configuration, with the retries left to the caller.
pub(crate) fn client(mut config: Config) -> Result<Client, ConnectError> {
    // It would hide a 429 from whoever counts them, and hold up a watch for its own delays.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

/// Whether somebody means a kubeconfig to be used: then a wrong one is an error, and not passed over.
fn has_kubeconfig() -> bool {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty())
        || home.is_some_and(|path| path.is_file())
}
