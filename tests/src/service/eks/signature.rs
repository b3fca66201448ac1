//! Signature Version 4, verified as AWS does it.
//!
//! IAM User Guide, "Create a signed AWS API request"; test vectors: aws-sig-v4-test-suite.

use std::fmt::Write;

use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

/// Made up, and the documentation's own.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub const REGION: &str = "eu-west-1";
const SERVICE: &str = "eks";

/// Whether the request is signed by [`ACCESS_KEY`] for EKS in [`REGION`]. Its age is not looked at.
///
/// # Errors
/// What is wrong with the signature.
pub fn verify(head: &Parts, body: &[u8]) -> Result<(), String> {
    let header = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().trim()
    };
    let authorization = header("authorization");
    let fields = authorization
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .ok_or("Missing Authentication Token")?;
    let field = |name: &str| {
        let mut fields = fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='));
        fields
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    let time = header("x-amz-date");
    let day = time.get(..8).ok_or("no X-Amz-Date")?;
    let scope = format!("{day}/{REGION}/{SERVICE}/aws4_request");
    if field("Credential") != format!("{ACCESS_KEY}/{scope}") {
        return Err(format!(
            "Credential should be scoped to {scope}: {}",
            field("Credential")
        ));
    }
    let signed: Vec<(&str, &str)> = field("SignedHeaders")
        .split(';')
        .map(|name| (name, header(name)))
        .collect();
    if !["host", "x-amz-date"]
        .iter()
        .all(|must| signed.iter().any(|(name, _)| name == must))
    {
        return Err("Host and X-Amz-Date must be signed".to_owned());
    }
    let request = canonical(
        head.method.as_str(),
        head.uri.path(),
        head.uri.query().unwrap_or_default(),
        &signed,
        body,
    );
    let expected = sign(&request, time, &scope, SECRET_KEY);
    if field("Signature") != expected {
        return Err(format!(
            "The request signature we calculated does not match the signature you provided. The canonical request:\n{request}"
        ));
    }
    Ok(())
}

/// The path is encoded once more than on the wire, for all services but S3.
fn canonical(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> String {
    let path: String = path
        .bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            if pair.contains('=') {
                pair.to_owned()
            } else {
                format!("{pair}=")
            }
        })
        .collect();
    pairs.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    format!(
        "{method}\n{path}\n{}\n{headers}\n{}\n{}",
        pairs.join("&"),
        names.join(";"),
        hex(&Sha256::digest(body))
    )
}

fn sign(request: &str, time: &str, scope: &str, secret: &str) -> String {
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex(&Sha256::digest(request.as_bytes()))
    );
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part.as_bytes());
    }
    hex(&hmac(&key, text.as_bytes()))
}

/// RFC 2104, with keys of up to one block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| -> Vec<u8> {
        let padded = key.iter().copied().chain(std::iter::repeat(0));
        padded.take(64).map(|byte| byte ^ with).collect()
    };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    outer.to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Fails never: it is a String.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suites_get_vanilla() {
        let headers = [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let request = canonical("GET", "/", "", &headers, b"");
        let signature = sign(
            &request,
            "20150830T123600Z",
            "20150830/us-east-1/service/aws4_request",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        );
        assert_eq!(
            signature,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn the_suites_get_vanilla_query_order() {
        let headers = [
            ("host", "example.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let request = canonical("GET", "/", "Param2=value2&Param1=value1", &headers, b"");
        assert!(request.contains("\nParam1=value1&Param2=value2\n"));
    }
}
