//! The two operations, each tried until it is answered or there is no hope.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use serde::Deserialize;
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

const LIST: &str = "ListPodIdentityAssociations";
const DESCRIBE: &str = "DescribePodIdentityAssociation";
/// What the API allows.
const PAGE_SIZE: u32 = 100;
const USER_AGENT: &str = concat!("eks-credential-auditor/", env!("CARGO_PKG_VERSION"));

/// Asks EKS about one cluster.
#[derive(Debug)]
pub struct Client {
    cluster: Arc<str>,
    region: String,
    endpoint: String,
    credentials: CredentialsCache,
    connector: SharedHttpConnector,
    pace: Pace,
}

/// What an answer means.
enum Verdict {
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

    fn refusal(
        &self,
        operation: &'static str,
        answer: &Answer,
        attempts: u32,
        resource: impl Fn() -> String,
    ) -> Verdict {
        let Refusal { code, message } = Refusal::of(answer);
        let retry_after = answer.retry_after.map(Duration::from_secs);
        let status = answer.status;
        match &*code {
            // A list is about the cluster, a description may be about either.
            "ResourceNotFoundException" if operation == LIST || message.contains("cluster") => {
                Verdict::GiveUp(Error::NoCluster {
                    cluster: self.cluster.to_string(),
                    region: self.region.clone(),
                })
            }
            "ResourceNotFoundException" => {
                Verdict::GiveUp(Error::NoAssociation { operation, message })
            }
            "AccessDeniedException" | "AccessDenied" => Verdict::GiveUp(Error::AccessDenied {
                operation,
                action: match operation {
                    LIST => "eks:ListPodIdentityAssociations",
                    _ => "eks:DescribePodIdentityAssociation",
                },
                resource: resource(),
                message,
            }),
            "ExpiredTokenException"
            | "ExpiredToken"
            | "RequestExpired"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationTokenException"
            | "IncompleteSignatureException" => {
                Verdict::Renew(Error::BadCredentials { operation, message })
            }
            "ThrottlingException"
            | "Throttling"
            | "TooManyRequestsException"
            | "RequestLimitExceeded" => Verdict::Again(
                Error::Throttled {
                    operation,
                    attempts,
                },
                retry_after,
            ),
            _ if status == 429 => Verdict::Again(
                Error::Throttled {
                    operation,
                    attempts,
                },
                retry_after,
            ),
            _ if status >= 500 => Verdict::Again(
                Error::Server {
                    operation,
                    status,
                    message,
                    attempts,
                },
                retry_after,
            ),
            _ => Verdict::GiveUp(Error::Refused {
                operation,
                status,
                code: code.clone(),
                message,
            }),
        }
    }
}

/// An error as the rest-json protocol tells it: the code in a header or in the body, a URI or a namespace around it.
struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    fn of(answer: &Answer) -> Self {
        #[derive(Default, Deserialize)]
        struct Raw {
            #[serde(alias = "__type")]
            code: Option<String>,
            #[serde(alias = "Message")]
            message: Option<String>,
        }
        let raw: Raw = serde_json::from_slice(&answer.body).unwrap_or_default();
        let code = answer.error_type.clone().or(raw.code).unwrap_or_default();
        // `ns#Code:http://…`
        let code = code.split(':').next().unwrap_or_default();
        let code = code.rsplit('#').next().unwrap_or_default();
        let message = raw.message.unwrap_or_else(|| {
            let text = String::from_utf8_lossy(&answer.body);
            text.trim().to_owned()
        });
        Self {
            code: code.chars().take(100).collect(),
            message: if message.is_empty() {
                "no message".to_owned()
            } else {
                message.chars().take(500).collect()
            },
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
