//! One request, its status, and the counting of it.

use std::{sync::LazyLock, time::Duration};

use ::kube::{Client, client::Body};
use http::{HeaderMap, Request, header};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;

use super::{Failure, Resource, Timing, answer::Answer};
use crate::metrics::ApiMetrics;

/// Of what a server asks us to wait.
const MOST_RETRY_AFTER: Duration = Duration::from_mins(5);
/// Of a server's own words in a message.
const MOST_WORDS: usize = 300;

/// A client that counts.
#[derive(Clone)]
pub struct Api {
    client: Client,
    metrics: ApiMetrics,
    timing: Timing,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    #[must_use]
    pub fn new(client: Client, metrics: ApiMetrics, timing: Timing) -> Self {
        Self {
            client,
            metrics,
            timing,
        }
    }

    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// One object by its name; null where there is none.
    ///
    /// # Errors
    /// No answer, a refusal, or an object of another shape.
    pub async fn get<K: DeserializeOwned>(
        &self,
        resource: &Resource,
        name: &str,
    ) -> Result<Option<K>, Failure> {
        let path = resource.object_path(name);
        let answer = match self.ask("get", resource, path).await {
            Err(Failure::Status { code: 404, .. }) => return Ok(None),
            other => other?,
        };
        let body = answer.whole(self.timing.silence).await?;
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(|error| Failure::Garbled(error.to_string()))
    }

    /// The answer to a GET, if its status is 2xx. `verb` as RBAC names it.
    pub(super) async fn ask(
        &self,
        verb: &'static str,
        resource: &Resource,
        path: String,
    ) -> Result<Answer, Failure> {
        let request = Request::get(path)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, USER_AGENT.as_str())
            .body(Body::empty())
            .map_err(|error| Failure::Garbled(error.to_string()))?;
        let answered = timeout(self.timing.answer_within, self.client.send(request)).await;
        let response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                self.metrics.add_request(verb, resource.plural, None);
                return Err(Failure::Unreachable(Failure::chain(&error)));
            }
            Err(_) => {
                self.metrics.add_request(verb, resource.plural, None);
                let within = self.timing.answer_within;
                return Err(Failure::Unreachable(format!("no answer within {within:?}")));
            }
        };
        let code = response.status().as_u16();
        self.metrics.add_request(verb, resource.plural, Some(code));
        let is_success = response.status().is_success();
        let retry_after = retry_after(response.headers());
        let answer = Answer::new(response.into_body(), self.metrics.clone(), resource.plural);
        if is_success {
            return Ok(answer);
        }
        // What the body says is worth having, and not worth failing for.
        let body = answer.whole(self.timing.silence).await.unwrap_or_default();
        Err(Failure::Status {
            code,
            message: words(&body),
            retry_after,
        })
    }
}

static USER_AGENT: LazyLock<String> =
    LazyLock::new(|| format!("eks-credential-auditor/{}", env!("CARGO_PKG_VERSION")));

/// Seconds only: kube-apiserver sends no dates.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let wait = Duration::from_secs(seconds.trim().parse().ok()?);
    Some(wait.min(MOST_RETRY_AFTER))
}

/// The message of a `metav1.Status`; of anything else, such as a proxy's page, nothing.
fn words(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        #[serde(default)]
        message: String,
    }
    let status: Option<Status> = serde_json::from_slice(body).ok();
    let message = status.map(|status| status.message).unwrap_or_default();
    message.chars().take(MOST_WORDS).collect()
}
