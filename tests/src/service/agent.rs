//! The EKS Pod Identity Agent's HTTP contract, as v0.1.37 has it (internal/validation/request.go and
//! pkg/handlers/eks_credential_handler.go), with a stand-in for EKS Auth: a token of the right audience gets a made-up
//! credential, any other is refused in EKS Auth's words.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{
    http::{Request, Response},
    token,
};

pub const V4: &str = "169.254.170.23";
pub const V6: &str = "fd00:ec2::23";

pub fn respond(request: &Request, now: Timestamp) -> Response {
    if request.path != "/v1/credentials" {
        return text(404, "404 page not found");
    }
    if !matches!(host(request), V4 | V6) {
        return text(
            403,
            "Access Denied. Called agent through invalid address, please use either [169.254.170.23 fd00:ec2::23] address not localhost",
        );
    }
    let token = request
        .headers
        .get("authorization")
        .map_or("", String::as_str);
    if token.is_empty() {
        return text(400, "Service account token cannot be empty");
    }
    let claims = match token::claims(token) {
        Ok(claims) => claims,
        Err(e) => return text(400, &format!("Service account token cannot be parsed: {e}")),
    };
    let failed = "Service account token failed basic claim validations: token is";
    if claims["exp"]
        .as_i64()
        .is_none_or(|exp| exp <= now.as_second())
    {
        return text(400, &format!("{failed} expired"));
    }
    if claims["nbf"]
        .as_i64()
        .is_some_and(|nbf| nbf > now.as_second())
    {
        return text(400, &format!("{failed} not valid yet"));
    }
    if claims["aud"] != json!([token::PODS]) {
        return text(
            400,
            "[6ed3d3e2-5f4b-4c0e-9d0f-0d6a3c1f2b11]: (InvalidTokenException): The token's audience is not valid, fault: client",
        );
    }
    credential(now)
}

/// The `Host` without port and brackets.
fn host(request: &Request) -> &str {
    let host = request.headers.get("host").map_or("", String::as_str);
    match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((v6, _)) => v6,
        None if host.matches(':').count() > 1 => host,
        None => host.split(':').next().unwrap_or(host),
    }
}

fn credential(now: Timestamp) -> Response {
    let expires = now + SignedDuration::from_hours(6);
    // The order of the agent's struct EksCredentialsResponse, which a sorted map would not keep.
    let body = format!(
        r#"{{"AccessKeyId":"ASIAEXAMPLEEXAMPLE00","SecretAccessKey":"{}","Token":"{}","AccountId":"111122223333","Expiration":"{expires:.3}"}}"#,
        "made/up".repeat(6).get(..40).unwrap_or_default(),
        "IQoJmadeup".repeat(90),
    );
    Response {
        status: 200,
        headers: vec![("Content-Type", "application/json".into())],
        body,
    }
}

fn text(status: u16, body: &str) -> Response {
    Response {
        status,
        headers: vec![
            ("Content-Type", "text/plain; charset=utf-8".into()),
            ("X-Content-Type-Options", "nosniff".into()),
        ],
        body: format!("{body}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http, token::Subject};

    fn ask(host: &str, authorization: Option<&str>) -> Response {
        let mut request = http::get("/v1/credentials", host);
        if let Some(token) = authorization {
            request.headers.insert("authorization".into(), token.into());
        }
        respond(&request, Timestamp::now())
    }

    fn token(audience: &str, issued: &str) -> String {
        let subject = Subject {
            namespace: "shop",
            service_account: "web",
            pod: "web-1",
            pod_uid: "u",
            node: "n",
        };
        token::issue(subject, audience, 86_400, issued.parse().unwrap())
    }

    #[test]
    fn answers_are_those_of_the_real_agent() {
        let now = Timestamp::now().to_string();
        let good = token(token::PODS, &now);
        let cases = [
            (ask(V4, Some(&good)), 200, "\"AccountId\":\"111122223333\""),
            (ask("[fd00:ec2::23]:80", Some(&good)), 200, "AccessKeyId"),
            (
                ask("localhost:80", Some(&good)),
                403,
                "Access Denied. Called agent through invalid address",
            ),
            (
                ask(V4, None),
                400,
                "Service account token cannot be empty\n",
            ),
            (
                ask(V4, Some("Bearer eyJ.e.s")),
                400,
                "illegal base64 data at input byte 6\n",
            ),
            (
                ask(V4, Some("a.b")),
                400,
                "token contains an invalid number of segments\n",
            ),
            (
                ask(V4, Some(&token(token::PODS, "2026-01-01T00:00:00Z"))),
                400,
                "validations: token is expired\n",
            ),
            (
                ask(V4, Some(&token(token::STS, &now))),
                400,
                "(InvalidTokenException)",
            ),
        ];
        for (response, status, body) in cases {
            assert_eq!(response.status, status, "{}", response.body);
            assert!(
                response.body.contains(body),
                "{} lacks {body}",
                response.body
            );
        }
        assert_eq!(
            respond(&http::get("/", V4), Timestamp::now()).body,
            "404 page not found\n"
        );
    }
}
