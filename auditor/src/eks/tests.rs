use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};

use super::{
    testing::{FakeEks, Fault, fast},
    *,
};

mod reading;

#[tokio::test]
async fn requests_are_those_of_the_api_and_signed() {
    let eks = FakeEks::default();
    eks.state().add("a-1", "web");
    let client = eks.client(fast()).await;
    let page = client.list(None).await.unwrap();
    assert_eq!(page.associations.len(), 1);
    assert_eq!(page.associations[0].role_arn, None);
    let described = client.describe("a-1").await.unwrap();
    assert_eq!(
        described.role_arn.as_deref(),
        Some("arn:aws:iam::111122223333:role/web")
    );
    assert_eq!(described.cluster.as_deref(), Some("prod"));
    assert_eq!(
        described.arn.as_deref(),
        Some("arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/a-1")
    );
    assert_eq!(
        described.modified.unwrap().to_string(),
        "2026-09-21T14:15:00.5Z"
    );
    let state = eks.state();
    let targets: Vec<&str> = state.requests.iter().map(|(target, _)| &**target).collect();
    assert_eq!(
        targets,
        [
            "/clusters/prod/pod-identity-associations?maxResults=100",
            "/clusters/prod/pod-identity-associations/a-1"
        ]
    );
    for (_, headers) in &state.requests {
        let authorization = headers["authorization"].to_str().unwrap();
        for part in [
            "AWS4-HMAC-SHA256 Credential=",
            "/eu-west-1/eks/aws4_request",
            "SignedHeaders=accept;host;x-amz-date;x-amz-security-token",
        ] {
            assert!(authorization.contains(part), "{authorization}");
        }
        assert!(headers.contains_key("x-amz-security-token"));
        assert!(headers["host"].to_str().unwrap().starts_with("127.0.0.1:"));
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    for fault in [
        Fault::Status(429, "ThrottlingException", "Rate exceeded"),
        Fault::Status(400, "ThrottlingException", "Rate exceeded"),
        Fault::Status(500, "ServerException", "oops"),
        Fault::Status(503, "", ""),
        Fault::Hangup,
    ] {
        let eks = FakeEks::default();
        eks.state()
            .list_faults
            .extend([fault.clone(), fault.clone()]);
        let client = eks.client(fast()).await;
        assert!(client.list(None).await.is_ok(), "{fault:?}");
        assert_eq!(eks.state().requests.len(), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn the_server_says_how_long_to_wait() {
    let eks = FakeEks::default();
    let fault = Fault::RetryAfter(429, "ThrottlingException", 1);
    eks.state().list_faults.push_back(fault);
    let pace = Pace {
        backoff_limit: Duration::from_millis(100),
        ..fast()
    };
    let client = eks.client(pace).await;
    let begun = Instant::now();
    client.list(None).await.unwrap();
    // A second was asked for; three times the limit is the most that is given.
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn what_does_not_pass_says_what_to_do() {
    let list = |fault: Fault| async move {
        let eks = FakeEks::default();
        eks.state().list_faults.extend(vec![fault; 5]);
        let pace = Pace {
            timeout: Duration::from_millis(50),
            ..fast()
        };
        let error = eks.client(pace).await.list(None).await.unwrap_err();
        let requests = eks.state().requests.len();
        (error.to_string(), requests)
    };
    let denied = "User: arn:aws:sts::1:assumed-role/r/s is not authorized";
    for (fault, requests, parts) in [
        (
            Fault::Status(403, "AccessDeniedException", denied),
            1,
            vec![
                "eks:ListPodIdentityAssociations",
                "arn:aws:eks:eu-west-1:*:cluster/prod",
                denied,
            ],
        ),
        (
            Fault::Status(404, "ResourceNotFoundException", "No cluster found"),
            1,
            vec!["\"prod\"", "eu-west-1", "--cluster-name", "AWS_REGION"],
        ),
        (
            Fault::Status(403, "ExpiredTokenException", "expired on Monday"),
            2,
            vec!["expired", "expired on Monday", "clock"],
        ),
        (
            Fault::Status(429, "ThrottlingException", ""),
            3,
            vec!["throttled", "3 attempts"],
        ),
        (
            Fault::Status(500, "ServerException", "oops"),
            3,
            vec!["500", "3 attempts", "oops"],
        ),
        (
            Fault::Status(400, "InvalidParameterException", "bad"),
            1,
            vec!["400", "InvalidParameterException", "bad"],
        ),
        (
            Fault::Body("<html>proxy</html>"),
            1,
            vec!["cannot make sense", "127.0.0.1", "line 1"],
        ),
        (
            Fault::Never,
            3,
            vec!["no answer from http://127.0.0.1", "50ms", "3 attempts"],
        ),
        (Fault::Hangup, 3, vec!["cannot talk to http://127.0.0.1"]),
    ] {
        let (error, asked) = list(fault.clone()).await;
        assert_eq!(asked, requests, "{fault:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{error}\nlacks {part}");
        }
    }
}

#[tokio::test]
async fn a_missing_association_is_not_a_missing_cluster() {
    let eks = FakeEks::default();
    let client = eks.client(fast()).await;
    let error = client.describe("a-0").await.unwrap_err();
    assert!(matches!(error, Error::NoAssociation { .. }), "{error}");
    let other = eks.client_of("other", fast()).await;
    for error in [
        other.describe("a-0").await.unwrap_err(),
        other.list(None).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoCluster { .. }), "{error}");
    }
    eks.state()
        .describe_faults
        .push_back(Fault::Status(403, "AccessDeniedException", "no"));
    let error = client.describe("a-0").await.unwrap_err().to_string();
    for part in [
        "eks:DescribePodIdentityAssociation",
        "arn:aws:eks:eu-west-1:*:podidentityassociation/prod/*",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn an_answer_about_another_association_is_refused() {
    let eks = FakeEks::default();
    let body = r#"{"association":{"namespace":"a","serviceAccount":"b","associationId":"a-2"}}"#;
    eks.state().describe_faults.push_back(Fault::Body(body));
    let error = eks.client(fast()).await.describe("a-1").await.unwrap_err();
    assert!(error.to_string().contains("asked for a-1"), "{error}");
}

#[derive(Debug)]
struct Counted(Arc<AtomicU32>, Option<Duration>);

impl ProvideCredentials for Counted {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::SeqCst);
        future::ProvideCredentials::ready(match self.1 {
            Some(life) => {
                let expiry = SystemTime::now() + life;
                Ok(Credentials::new("a", "b", None, Some(expiry), "test"))
            }
            None => Err(CredentialsError::not_loaded("nothing is set")),
        })
    }
}

#[tokio::test]
async fn credentials_are_kept_until_they_are_old_or_refused() {
    for (life, fetched) in [(3600, 1), (60, 3)] {
        let eks = FakeEks::default();
        let count = Arc::new(AtomicU32::new(0));
        let counted = Counted(count.clone(), Some(Duration::from_secs(life)));
        let settings = Settings {
            region: "eu-west-1".to_owned(),
            endpoint: eks.serve().await,
            credentials: SharedCredentialsProvider::new(counted),
        };
        let client = Client::new(settings, "prod".into(), fast());
        for _ in 0..3 {
            client.list(None).await.unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), fetched);
        // Others are fetched where EKS does not take them, and are taken.
        let refused = Fault::Status(403, "ExpiredTokenException", "");
        eks.state().list_faults.push_back(refused);
        client.list(None).await.unwrap();
        assert!(count.load(Ordering::SeqCst) > fetched);
    }
}

#[tokio::test]
async fn no_credentials_is_said_and_nothing_sent() {
    let eks = FakeEks::default();
    let settings = Settings {
        region: "eu-west-1".to_owned(),
        endpoint: eks.serve().await,
        credentials: SharedCredentialsProvider::new(Counted(Arc::default(), None)),
    };
    let client = Client::new(settings, "prod".into(), fast());
    let error = client.list(None).await.unwrap_err().to_string();
    for part in ["no AWS credentials", "nothing is set", "Pod Identity"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(eks.state().requests.is_empty());
}
