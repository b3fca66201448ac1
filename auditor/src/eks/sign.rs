//! AWS Signature Version 4 over a GET without a body.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;

/// The service's name in the credential scope.
const SERVICE: &str = "eks";

/// Why a request could not be signed: it holds what no header may.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign the request: {0}")]
pub struct SignError(String);

/// The headers to send with a GET of `uri`; `headers` are signed as well. `host` is the URI's.
///
/// # Errors
/// When the URI is none, or the session token holds line breaks.
pub fn sign_get(
    uri: &str,
    headers: &[(&str, &str)],
    region: &str,
    credentials: &Credentials,
    time: SystemTime,
) -> Result<Vec<(String, String)>, SignError> {
    let failed = |error: &(dyn std::error::Error + 'static)| SignError(super::error::chain(error));
    let identity: Identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?
        .into();
    let request = SignableRequest::new("GET", uri, headers.iter().copied(), SignableBody::empty())
        .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(request, &params)
        .map_err(|error| failed(&error))?
        .into_parts();
    Ok(instructions
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// The access key, secret, date and region of AWS's published signing example ("Examples of the complete Signature
    /// Version 4 signing process"), 20150830T123600Z.
    const KEY: &str = "AKIDEXAMPLE";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn credentials(token: Option<&str>) -> Credentials {
        Credentials::new(KEY, SECRET, token.map(ToOwned::to_owned), None, "test")
    }

    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_440_938_160)
    }

    fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let found = headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| &**value)
    }

    #[test]
    fn service_region_and_headers_are_signed() {
        let credentials = credentials(None);
        let uri = "https://eks.us-east-1.amazonaws.com/clusters/prod/pod-identity-associations?maxResults=100";
        let headers = sign_get(
            uri,
            &[("accept", "application/json")],
            "us-east-1",
            &credentials,
            time(),
        )
        .unwrap();
        assert_eq!(header(&headers, "x-amz-date"), Some("20150830T123600Z"));
        assert_eq!(header(&headers, "x-amz-security-token"), None);
        // Computed apart from this crate, by the steps of AWS's "Create a signed AWS API request" in Python's hmac and hashlib.
        assert_eq!(
            header(&headers, "authorization"),
            Some(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/eks/aws4_request, \
                 SignedHeaders=accept;host;x-amz-date, \
                 Signature=646fadc5d9896fdb26cb5a49c39eea35519e619ac74084f89f2f800a50fb28ae"
            )
        );
    }

    #[test]
    fn a_session_token_is_sent_and_signed() {
        let credentials = credentials(Some("session"));
        let headers = sign_get(
            "http://127.0.0.1:1/",
            &[],
            "eu-west-1",
            &credentials,
            time(),
        )
        .unwrap();
        assert_eq!(header(&headers, "x-amz-security-token"), Some("session"));
        let authorization = header(&headers, "authorization").unwrap();
        for part in [
            "/20150830/eu-west-1/eks/aws4_request",
            "SignedHeaders=host;x-amz-date;x-amz-security-token",
        ] {
            assert!(authorization.contains(part), "{authorization}");
        }
    }

    #[test]
    fn what_no_header_may_hold_is_an_error() {
        let credentials = credentials(Some("two\nlines"));
        let result = sign_get(
            "http://127.0.0.1:1/",
            &[],
            "eu-west-1",
            &credentials,
            time(),
        );
        assert!(result.is_err());
    }
}
