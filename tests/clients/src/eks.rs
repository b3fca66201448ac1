//! The lab's EKS endpoint against the SDK's own signing, which knows nothing of it.

use std::{net::TcpStream, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use lab::{
    http,
    service::eks::{ACCESS_KEY, Association, Eks, Fault, Operation, REGION, SECRET_KEY},
};
use serde_json::Value;

const PATH: &str = "/clusters/prod/pod-identity-associations";

fn get(eks: &Eks, path: &str, service: Option<&str>) -> (u16, Value) {
    let address = eks.url().trim_start_matches("http://").to_owned();
    let mut request = http::get(path, &address);
    if let Some(service) = service {
        let identity = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(REGION)
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let uri = format!("{}{path}", eks.url());
        let headers = [("accept", "application/json")].into_iter();
        let signable = SignableRequest::new("GET", uri, headers, SignableBody::Bytes(b"")).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        for (name, value) in instructions.headers() {
            request.headers.insert(name.to_owned(), value.to_owned());
        }
        request
            .headers
            .insert("accept".into(), "application/json".into());
    }
    let stream = TcpStream::connect(&address).unwrap();
    let (status, body) = http::exchange(&mut http::Connection::new(stream), &request).unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

fn endpoint(count: usize) -> Eks {
    let eks = Eks::start("prod").unwrap();
    for index in 0..count {
        eks.put(Association::new(
            "shop",
            &format!("app-{index}"),
            "arn:aws:iam::111122223333:role/r",
        ));
    }
    eks
}

#[test]
fn only_what_is_signed_for_eks_is_answered() {
    let eks = endpoint(1);
    let (status, body) = get(&eks, PATH, None);
    assert_eq!(
        (status, &body["message"]),
        (403, &"Missing Authentication Token".into())
    );
    assert_eq!(get(&eks, PATH, Some("sts")).0, 403);
    let (status, body) = get(&eks, PATH, Some("eks"));
    assert_eq!(
        (status, body["associations"].as_array().unwrap().len()),
        (200, 1)
    );
    assert_eq!(
        get(
            &eks,
            "/clusters/other/pod-identity-associations",
            Some("eks")
        )
        .0,
        404
    );
}

#[test]
fn pages_have_no_roles_and_descriptions_have() {
    let eks = endpoint(25);
    let mut ids = Vec::new();
    let mut query = "?maxResults=10".to_owned();
    let mut pages = 0;
    loop {
        let (status, page) = get(&eks, &format!("{PATH}{query}"), Some("eks"));
        assert_eq!(status, 200, "{page}");
        pages += 1;
        for summary in page["associations"].as_array().unwrap() {
            assert_eq!(summary.get("roleArn"), None);
            ids.push(summary["associationId"].as_str().unwrap().to_owned());
        }
        match page["nextToken"].as_str() {
            Some(token) => {
                query = format!("?maxResults=10&nextToken={}", token.replace('=', "%3D"))
            }
            None => break,
        }
    }
    ids.dedup();
    assert_eq!((pages, ids.len()), (3, 25));
    let (_, whole) = get(&eks, &format!("{PATH}/{}", ids[0]), Some("eks"));
    assert_eq!(
        whole["association"]["roleArn"],
        "arn:aws:iam::111122223333:role/r"
    );
    assert!(whole["association"]["createdAt"].is_f64());
    assert!(eks.remove("shop", "app-3"));
    assert!(!eks.remove("shop", "app-3"));
    assert_eq!(
        get(&eks, &format!("{PATH}?maxResults=101"), Some("eks")).0,
        400
    );
    assert_eq!(get(&eks, &format!("{PATH}/a-none"), Some("eks")).0, 404);
}

#[test]
fn faults_befall_what_they_name() {
    let eks = endpoint(1);
    eks.fail(Operation::Describe, Fault::Failed, None);
    eks.fail(Operation::List, Fault::Throttled, Some(2));
    let statuses: Vec<u16> = (0..3).map(|_| get(&eks, PATH, Some("eks")).0).collect();
    assert_eq!(statuses, [429, 429, 200]);
    assert_eq!(get(&eks, &format!("{PATH}/a-none"), Some("eks")).0, 500);
    eks.mend();
    assert_eq!(get(&eks, &format!("{PATH}/a-none"), Some("eks")).0, 404);
    eks.limit(2);
    let throttled = (0..5)
        .filter(|_| get(&eks, PATH, Some("eks")).0 == 429)
        .count();
    assert!(throttled > 0);
    assert_eq!(eks.requests().len(), 10);
}
