//! EKS in miniature: an HTTP server on loopback that speaks the two operations' JSON and misbehaves as told.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{Client, Pace, Settings};

/// What to answer instead.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Status(u16, &'static str, &'static str),
    /// With these seconds in Retry-After.
    RetryAfter(u16, &'static str, u64),
    Body(&'static str),
    Never,
    /// Closes the connection.
    Hangup,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By id, as Describe tells of them.
    pub associations: BTreeMap<String, Value>,
    pub page_size: usize,
    /// One is used up by each request of that operation.
    pub list_faults: VecDeque<Fault>,
    pub describe_faults: VecDeque<Fault>,
    /// `GET` targets with their headers, in order.
    pub requests: Vec<(String, hyper::HeaderMap)>,
}

impl State {
    pub fn add(&mut self, id: &str, account: &str) {
        let association = json!({
            "clusterName": "prod", "namespace": "shop", "serviceAccount": account, "associationId": id,
            "associationArn": format!("arn:aws:eks:eu-west-1:111122223333:podidentityassociation/prod/{id}"),
            "roleArn": format!("arn:aws:iam::111122223333:role/{account}"),
            "tags": {}, "createdAt": 1_790_000_000.123, "modifiedAt": 1_790_000_100.5,
        });
        self.associations.insert(id.to_owned(), association);
    }

    pub fn lists(&self) -> usize {
        self.requests
            .iter()
            .filter(|(target, _)| target.contains('?'))
            .count()
    }

    pub fn described(&self) -> Vec<&str> {
        let targets = self.requests.iter().map(|(target, _)| target.as_str());
        targets
            .filter(|target| !target.contains('?'))
            .filter_map(|target| target.rsplit('/').next())
            .collect()
    }

    fn answer(&mut self, target: &str) -> Result<Response<String>, Fault> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let base = "/clusters/prod/pod-identity-associations";
        if path == base {
            if let Some(fault) = self.list_faults.pop_front() {
                return Err(fault);
            }
            let start = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("nextToken="))
                .map_or(0, |token| {
                    token.strip_prefix("page%2F").unwrap().parse().unwrap()
                });
            let size = if self.page_size == 0 {
                100
            } else {
                self.page_size
            };
            let page: Vec<Value> = self
                .associations
                .values()
                .skip(start)
                .take(size)
                .map(summary)
                .collect();
            let more = start + size < self.associations.len();
            let token = more.then(|| format!("page/{}", start + size));
            return Ok(ok(&json!({"associations": page, "nextToken": token})));
        }
        if let Some(id) = path.strip_prefix(&format!("{base}/")) {
            if let Some(fault) = self.describe_faults.pop_front() {
                return Err(fault);
            }
            return match self.associations.get(id) {
                Some(association) => Ok(ok(&json!({"association": association}))),
                None => Ok(refusal(404, "ResourceNotFoundException", "no such thing")),
            };
        }
        Ok(refusal(
            404,
            "ResourceNotFoundException",
            "No cluster found for name: other.",
        ))
    }
}

/// A list has no role.
fn summary(association: &Value) -> Value {
    let mut summary = association.clone();
    let members = summary.as_object_mut().unwrap();
    for member in [
        "roleArn",
        "tags",
        "createdAt",
        "modifiedAt",
        "targetRoleArn",
        "policy",
    ] {
        members.remove(member);
    }
    summary
}

fn ok(value: &Value) -> Response<String> {
    let mut response = Response::new(value.to_string());
    let headers = response.headers_mut();
    headers.insert("content-type", "application/json".parse().unwrap());
    response
}

fn refusal(status: u16, code: &str, message: &str) -> Response<String> {
    let mut response = Response::new(json!({"message": message}).to_string());
    *response.status_mut() = status.try_into().unwrap();
    let headers = response.headers_mut();
    // As the service writes it, with a URI after the code.
    let code = format!("{code}:http://internal.amazon.com/coral/com.amazonaws.eks/");
    headers.insert("x-amzn-errortype", code.parse().unwrap());
    response
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FakeEks(Arc<Mutex<State>>);

impl FakeEks {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Serves; returns the endpoint.
    pub async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = fake.clone();
                let service = service_fn(move |request| fake.clone().respond(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        endpoint
    }

    async fn respond(self, request: Request<Incoming>) -> Result<Response<String>, std::io::Error> {
        let target = request.uri().to_string();
        let answer = {
            let mut state = self.state();
            state
                .requests
                .push((target.clone(), request.headers().clone()));
            state.answer(&target)
        };
        match answer {
            Ok(response) => Ok(response),
            Err(Fault::Status(status, code, message)) => Ok(refusal(status, code, message)),
            Err(Fault::RetryAfter(status, code, seconds)) => {
                let mut response = refusal(status, code, "slow down");
                response.headers_mut().insert("retry-after", seconds.into());
                Ok(response)
            }
            Err(Fault::Body(body)) => Ok(Response::new(body.to_owned())),
            Err(Fault::Never) => {
                std::future::pending::<Infallible>().await;
                Ok(Response::default())
            }
            Err(Fault::Hangup) => Err(std::io::Error::other("hung up")),
        }
    }

    /// A client of it, as fast as it goes.
    pub async fn client(&self, pace: Pace) -> Client {
        self.client_of("prod", pace).await
    }

    pub async fn client_of(&self, cluster: &str, pace: Pace) -> Client {
        let settings = Settings {
            region: "eu-west-1".to_owned(),
            endpoint: self.serve().await,
            credentials: SharedCredentialsProvider::new(Credentials::for_tests_with_session_token()),
        };
        Client::new(settings, cluster.into(), pace)
    }
}

pub(crate) fn fast() -> Pace {
    Pace {
        describe_every: Duration::ZERO,
        concurrency: 4,
        describe_again_within: Duration::from_secs(600),
        describe_for: Duration::from_secs(30),
        tell_first: Duration::from_secs(2),
        timeout: Duration::from_secs(5),
        attempts: 3,
        backoff: Duration::from_millis(1),
        backoff_limit: Duration::from_millis(5),
    }
}
