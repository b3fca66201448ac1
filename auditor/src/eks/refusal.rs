//! What an answer other than 200 means.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Client, Error,
    client::{LIST, Verdict},
    http::Answer,
};

impl Client {
    pub(super) fn refusal(
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
