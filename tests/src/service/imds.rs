//! The EC2 instance metadata service, version 2 only, with responses of the real sizes: what a connection carries tells a
//! region look-up (about 0.6 KB) from taken role credentials (more than 1.3 KB).

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::http::{Request, Response};

pub const V4: &str = "169.254.169.254";
pub const V6: &str = "fd00:ec2::254";
pub const ROLE: &str = "eks-node-group-workers-NodeInstanceRole";
const SESSION: &str = "AQAEAMadeUpMadeUpMadeUpMadeUpMadeUpMadeUpMadeUpMadeUpA==";

pub fn respond(request: &Request, now: Timestamp) -> Response {
    let credentials = format!("/latest/meta-data/iam/security-credentials/{ROLE}");
    match (request.method.as_str(), request.path.as_str()) {
        ("PUT", "/latest/api/token") => {
            match request.headers.get("x-aws-ec2-metadata-token-ttl-seconds") {
                Some(ttl) => answer(200, SESSION.into(), now, Some(ttl)),
                None => answer(400, String::new(), now, None),
            }
        }
        _ if request
            .headers
            .get("x-aws-ec2-metadata-token")
            .map(String::as_str)
            != Some(SESSION) =>
        {
            answer(401, String::new(), now, None)
        }
        ("GET", "/latest/meta-data/placement/region") => {
            answer(200, "eu-west-1".into(), now, Some("21600"))
        }
        ("GET", "/latest/meta-data/iam/security-credentials/") => {
            answer(200, ROLE.into(), now, Some("21600"))
        }
        ("GET", path) if path == credentials => {
            answer(200, role_credentials(now), now, Some("21600"))
        }
        _ => answer(404, String::new(), now, None),
    }
}

fn role_credentials(now: Timestamp) -> String {
    let body = json!({
        "Code": "Success",
        "LastUpdated": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "Type": "AWS-HMAC",
        "AccessKeyId": "ASIAEXAMPLEEXAMPLE01",
        "SecretAccessKey": "made/up".repeat(6).get(..40),
        // Session tokens of instance roles are 1.1 to 1.4 KB long.
        "Token": "IQoJmadeup".repeat(124),
        "Expiration": (now + SignedDuration::from_hours(6)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    format!("{body:#}")
}

fn answer(status: u16, body: String, now: Timestamp, ttl: Option<&str>) -> Response {
    let mut headers = Vec::new();
    if let Some(ttl) = ttl {
        headers.push(("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", ttl.to_owned()));
    }
    let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.extend([
        ("Content-Type", "text/plain".into()),
        ("Accept-Ranges", "none".into()),
        ("Last-Modified", date.clone()),
        ("Date", date),
        ("Server", "EC2ws".into()),
    ]);
    Response {
        status,
        headers,
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn credentials_need_a_session_and_are_big() {
        let now = Timestamp::now();
        let mut request = http::get(
            &format!("/latest/meta-data/iam/security-credentials/{ROLE}"),
            V4,
        );
        assert_eq!(respond(&request, now).status, 401);
        let put = Request {
            method: "PUT".into(),
            path: "/latest/api/token".into(),
            headers: [(
                "x-aws-ec2-metadata-token-ttl-seconds".to_owned(),
                "21600".to_owned(),
            )]
            .into(),
        };
        let session = respond(&put, now).body;
        request
            .headers
            .insert("x-aws-ec2-metadata-token".into(), session);
        let response = respond(&request, now);
        assert_eq!(response.status, 200);
        assert!(response.body.len() > 1_300, "{} bytes", response.body.len());
    }
}
