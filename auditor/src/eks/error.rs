//! What may go wrong, and what to do about it.

use std::time::Duration;

/// Which operation failed is in the message; what it was for is said by the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(
        "no AWS credentials: {0}. Give the auditor's ServiceAccount a role by EKS Pod Identity or IRSA, or set AWS_PROFILE \
         or AWS_ACCESS_KEY_ID"
    )]
    Credentials(String),
    #[error(
        "{operation}: access denied; allow {action} on {resource} in the policy of the role that the auditor runs as \
         (AWS says: {message})"
    )]
    AccessDenied {
        operation: &'static str,
        action: &'static str,
        resource: String,
        message: String,
    },
    #[error(
        "there is no EKS cluster {cluster:?} in {region} for these credentials: check --cluster-name and AWS_REGION"
    )]
    NoCluster { cluster: String, region: String },
    #[error("{operation}: EKS knows no such association (AWS says: {message})")]
    NoAssociation {
        operation: &'static str,
        message: String,
    },
    #[error(
        "{operation}: the AWS credentials have expired or are not valid (AWS says: {message}); renew them, and check the clock"
    )]
    BadCredentials {
        operation: &'static str,
        message: String,
    },
    #[error(
        "{operation}: throttled by EKS in {attempts} attempts; it is tried again by the next reading"
    )]
    Throttled {
        operation: &'static str,
        attempts: u32,
    },
    #[error("{operation}: EKS answered {status} in {attempts} attempts: {message}")]
    Server {
        operation: &'static str,
        status: u16,
        message: String,
        attempts: u32,
    },
    #[error("{operation}: EKS refused it with {status} {code}: {message}")]
    Refused {
        operation: &'static str,
        status: u16,
        code: String,
        message: String,
    },
    #[error(
        "{operation}: no answer from {endpoint} within {timeout:?} in {attempts} attempts; can it be reached from here?"
    )]
    Timeout {
        operation: &'static str,
        endpoint: String,
        timeout: Duration,
        attempts: u32,
    },
    #[error("{operation}: cannot talk to {endpoint} in {attempts} attempts: {cause}")]
    Transport {
        operation: &'static str,
        endpoint: String,
        cause: String,
        attempts: u32,
    },
    #[error("{operation}: cannot make sense of the answer of {endpoint}: {problem}")]
    Malformed {
        operation: &'static str,
        endpoint: String,
        problem: String,
    },
}

impl Error {
    /// The same would come of every other association: no use in asking for them.
    #[must_use]
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::NoAssociation { .. } | Self::Malformed { .. } | Self::Refused { .. } => false,
            Self::Credentials(_)
            | Self::AccessDenied { .. }
            | Self::NoCluster { .. }
            | Self::BadCredentials { .. }
            | Self::Throttled { .. }
            | Self::Server { .. }
            | Self::Timeout { .. }
            | Self::Transport { .. } => true,
        }
    }
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        next = cause.source();
    }
    message
}
