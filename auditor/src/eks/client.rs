//! The two operations, each tried until it is answered or there is no hope.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use tokio::time::{sleep, timeout};

use super::{
    Error, Pace, Settings,
    config::partition,
    credentials::CredentialsCache,
    http::{self, Answer},
    sign::sign_get,
};
use crate::{
    association::{Association, Page, parse_one, parse_page},
    kube::jitter,
};

pub(super) const LIST: &str = "ListPodIdentityAssociations";
const DESCRIBE: &str = "DescribePodIdentityAssociation";
/// What the API allows.
const PAGE_SIZE: u32 = 100;
const USER_AGENT: &str = concat!("eks-credential-auditor/", env!("CARGO_PKG_VERSION"));

/// Asks EKS about one cluster.
#[derive(Debug)]
pub struct Client {
    pub(super) cluster: Arc<str>,
    pub(super) region: String,
    endpoint: String,
    credentials: CredentialsCache,
    connector: SharedHttpConnector,
    pace: Pace,
}

/// What an answer means.
pub(super) enum Verdict {
    Take(Answer),
    /// The error if it was the last attempt.
    Again(Error, Option<Duration>),
    /// Once more with other credentials.
    Renew(Error),
    GiveUp(Error),
}

impl Client {
    #[must_use]
    pub fn new(settings: Settings, cluster: Arc<str>, pace: Pace) -> Self {
        Self {
            cluster,
            region: settings.region,
            endpoint: settings.endpoint,
            credentials: CredentialsCache::new(settings.credentials),
            connector: http::connector(),
            pace,
        }
    }

    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// One page; without a token the first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, token: Option<&str>) -> Result<Page, Error> {
        let mut path = format!("{}?maxResults={PAGE_SIZE}", self.path());
        if let Some(token) = token {
            path.push_str("&nextToken=");
            path.push_str(&escape(token));
        }
        let body = self
            .get(LIST, &path, || self.resource("cluster", None))
            .await?;
        parse_page(&body).map_err(|error| self.malformed(LIST, error.to_string()))
    }

    /// # Errors
    /// See [`Error`].
    pub async fn describe(&self, id: &str) -> Result<Association, Error> {
        let path = format!("{}/{}", self.path(), escape(id));
        let resource = || self.resource("podidentityassociation", Some(id));
        let body = self.get(DESCRIBE, &path, resource).await?;
        let association =
            parse_one(&body).map_err(|error| self.malformed(DESCRIBE, error.to_string()))?;
        if &*association.id != id {
            let problem = format!("asked for {id}, it tells of {}", association.id);
            return Err(self.malformed(DESCRIBE, problem));
        }
        Ok(association)
    }

    pub(super) fn malformed_list(&self, problem: &str) -> Error {
        self.malformed(LIST, problem.to_owned())
    }

    fn malformed(&self, operation: &'static str, problem: String) -> Error {
        Error::Malformed {
            operation,
            endpoint: self.endpoint.clone(),
            problem,
        }
    }

    fn path(&self) -> String {
        format!(
            "/clusters/{}/pod-identity-associations",
            escape(&self.cluster)
        )
    }

    /// For a policy; the account is whose credentials these are.
    fn resource(&self, kind: &str, id: Option<&str>) -> String {
        let Self {
            cluster, region, ..
        } = self;
        let partition = partition(region).name;
        let id = id.map(|_| "/*").unwrap_or_default();
        format!("arn:{partition}:eks:{region}:*:{kind}/{cluster}{id}")
    }

    async fn get(
        &self,
        operation: &'static str,
        path: &str,
        resource: impl Fn() -> String,
    ) -> Result<bytes::Bytes, Error> {
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            let verdict = self.attempt(operation, path, attempt, &resource).await;
            let (error, retry_after) = match verdict {
                Verdict::Take(answer) => return Ok(answer.body),
                Verdict::GiveUp(error) => return Err(error),
                Verdict::Renew(error) if renewed => return Err(error),
                Verdict::Renew(_) => {
                    renewed = true;
                    self.credentials.forget().await;
                    continue;
                }
                Verdict::Again(error, retry_after) => (error, retry_after),
            };
            if attempt >= self.pace.attempts {
                return Err(error);
            }
            let wait = self.pace.wait(attempt, retry_after, jitter);
            tracing::debug!(%error, attempt, ?wait, "EKS: will try again");
            sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        operation: &'static str,
        path: &str,
        attempts: u32,
        resource: impl Fn() -> String,
    ) -> Verdict {
        let now = SystemTime::now();
        let credentials = match self.credentials.get(now).await {
            Ok(credentials) => credentials,
            // The chain has tried more than once itself.
            Err(error) => return Verdict::GiveUp(error),
        };
        let uri = format!("{}{path}", self.endpoint);
        let own = [("accept", "application/json"), ("user-agent", USER_AGENT)];
        let signed = match sign_get(&uri, &own, &self.region, &credentials, now) {
            Ok(signed) => signed,
            Err(error) => return Verdict::GiveUp(Error::Credentials(error.to_string())),
        };
        let headers = own
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .chain(signed);
        let answer = timeout(self.pace.timeout, http::get(&self.connector, &uri, headers));
        let endpoint = || self.endpoint.clone();
        match answer.await {
            Ok(Ok(answer)) if answer.status == 200 => Verdict::Take(answer),
            Ok(Ok(answer)) => self.refusal(operation, &answer, attempts, resource),
            Ok(Err(cause)) => Verdict::Again(
                Error::Transport {
                    operation,
                    endpoint: endpoint(),
                    cause,
                    attempts,
                },
                None,
            ),
            Err(_) => Verdict::Again(
                Error::Timeout {
                    operation,
                    endpoint: endpoint(),
                    timeout: self.pace.timeout,
                    attempts,
                },
                None,
            ),
        }
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
