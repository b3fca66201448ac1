//! An API server in miniature: objects by their path, with resource versions and conflicts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use ::kube::Client;
use hyper::{
    Method, Request, Response,
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/ns/configmaps";
pub const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";

#[derive(Default)]
pub struct State {
    pub objects: BTreeMap<String, Value>,
    /// What other paths answer to GET.
    pub canned: BTreeMap<String, (u16, Value)>,
    version: u64,
    /// `PUT /path`, in order.
    pub requests: Vec<String>,
    /// Every request that begins so is answered by this status.
    pub fail: Option<(&'static str, u16)>,
    pub hang: bool,
}

impl State {
    /// As if by another's hand.
    pub fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["uid"] = "u".into();
        self.objects.insert(path.to_owned(), object);
    }

    pub fn config_map(&self) -> ConfigMap {
        let object = &self.objects[&format!("{CONFIG_MAPS}/a")];
        serde_json::from_value(object.clone()).unwrap()
    }

    pub fn lease(&self) -> Lease {
        serde_json::from_value(self.objects[&format!("{LEASES}/a")].clone()).unwrap()
    }

    pub fn count(&self, begin: &str) -> usize {
        let requests = self.requests.iter();
        requests
            .filter(|request| request.starts_with(begin))
            .count()
    }

    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let request = format!("{method} {path}");
        let failure = self.fail.filter(|(begin, _)| request.starts_with(begin));
        self.requests.push(request);
        if let Some((_, code)) = failure {
            return status(code, "as told");
        }
        if let Some(canned) = self.canned.get(path) {
            return canned.clone();
        }
        let path = path.split('?').next().unwrap();
        match *method {
            Method::GET => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => status(404, "not found"),
            },
            Method::POST => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return status(409, "already exists");
                }
                self.put(&path, object);
                (201, self.objects[&path].clone())
            }
            Method::PUT => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let Some(before) = self.objects.get(path) else {
                    return status(404, "not found");
                };
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                if version(before) != version(&object) {
                    return status(409, "the object has been modified");
                }
                self.put(path, object);
                (200, self.objects[path].clone())
            }
            _ => status(405, "no"),
        }
    }
}

fn status(code: u16, message: &str) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": message, "reason": reason, "metadata": {}});
    (code, status)
}

#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub async fn client(&self) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = fake.clone();
                let service = service_fn(move |request| fake.clone().respond(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        crate::kube::testing::plain_client(&url)
    }

    async fn respond(self, request: Request<Incoming>) -> Result<Response<String>, hyper::Error> {
        let (head, body) = request.into_parts();
        let mut body = std::pin::pin!(body);
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|c| body.as_mut().poll_frame(c)).await {
            if let Ok(data) = frame?.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        if self.state().hang {
            std::future::pending::<()>().await;
        }
        let path = head.uri.to_string();
        let (code, answer) = self.state().answer(&head.method, &path, &bytes);
        let mut response = Response::new(answer.to_string());
        *response.status_mut() = code.try_into().unwrap();
        Ok(response)
    }
}
