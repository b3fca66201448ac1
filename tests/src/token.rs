//! Made-up ServiceAccount tokens with the claims of real ones.
//!
//! Claims: kubernetes `pkg/serviceaccount/claims.go` and KEP-4193. The signature is random bytes: nobody here checks it,
//! as the real agent does not either.

use anyhow::{Context, Result, bail};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

pub const STS: &str = "sts.amazonaws.com";
pub const PODS: &str = "pods.eks.amazonaws.com";
/// The API server's own audience on EKS.
pub const API_SERVER: &str = "https://kubernetes.default.svc";

/// Whom a token speaks for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub namespace: &'a str,
    pub service_account: &'a str,
    pub pod: &'a str,
    pub pod_uid: &'a str,
    pub node: &'a str,
}

/// A JSON Web Token of the usual size (about 1 KB).
pub fn issue(
    subject: Subject<'_>,
    audience: &str,
    lifetime_seconds: i64,
    now: Timestamp,
) -> String {
    let Subject {
        namespace,
        service_account,
        pod,
        pod_uid,
        node,
    } = subject;
    let issued = now.as_second();
    let header = json!({"alg": "RS256", "kid": "3f1d0e8b9c7a6f5e4d3c2b1a0918273645546372"});
    let claims = json!({
        "aud": [audience], "exp": issued + lifetime_seconds, "iat": issued, "nbf": issued,
        "iss": "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
        "jti": uuid::Uuid::new_v4(),
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": node, "uid": uuid::Uuid::new_v4()},
            "pod": {"name": pod, "uid": pod_uid},
            "serviceaccount": {"name": service_account, "uid": uuid::Uuid::new_v4()},
        },
        "sub": format!("system:serviceaccount:{namespace}:{service_account}"),
    });
    let signature: Vec<u8> = (0..16)
        .flat_map(|_| *uuid::Uuid::new_v4().as_bytes())
        .collect();
    [
        header.to_string().into_bytes(),
        claims.to_string().into_bytes(),
        signature,
    ]
    .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part))
    .join(".")
}

/// The claims of a token, unverified. Errors are worded as golang-jwt words them, for they reach the agent's callers.
pub fn claims(token: &str) -> Result<Value> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _] = parts[..] else {
        bail!("token is malformed: token contains an invalid number of segments");
    };
    // "Bearer eyJ…" fails here at its blank, as it does in the real agent.
    if let Some(at) = header
        .bytes()
        .position(|b| !(b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
    {
        bail!(
            "token is malformed: could not base64 decode header: illegal base64 data at input byte {at}"
        );
    }
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(claims)
        .context("token is malformed: could not base64 decode claim")?;
    serde_json::from_slice(&bytes).context("token is malformed: could not JSON decode claim")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_its_claims() {
        let subject = Subject {
            namespace: "payments",
            service_account: "api",
            pod: "api-1",
            pod_uid: "0cda7f85-c1f9-4dee-b6e9-a0b50c8f3012",
            node: "ip-10-0-1-5",
        };
        let token = issue(
            subject,
            PODS,
            86_400,
            "2026-11-22T12:00:00Z".parse().unwrap(),
        );
        let claims = claims(&token).unwrap();
        assert_eq!(claims["aud"], json!([PODS]));
        assert_eq!(claims["sub"], "system:serviceaccount:payments:api");
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            86_400
        );
    }

    #[test]
    fn a_bearer_prefix_is_malformed_at_byte_six() {
        let error = claims("Bearer eyJh.e30.c2ln").unwrap_err().to_string();
        assert_eq!(
            error,
            "token is malformed: could not base64 decode header: illegal base64 data at input byte 6"
        );
    }
}
