//! From a request to an answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{Fault, Operation, Shared, State, signature};
use crate::service::{
    apiserver::decode,
    web::{Body, Cut, Exchange, Handler, read},
};

/// An error's shape name, status and message.
type Refusal = (&'static str, u16, String);

impl Handler for Shared {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        exchange: Exchange,
    ) -> Result<Response<Body>, Cut> {
        let (head, body) = request.into_parts();
        let body = read(body).await;
        if let Err(why) = signature::verify(&head, &body) {
            return Ok(refuse(&exchange, ("InvalidSignatureException", 403, why)));
        }
        let path: Vec<String> = head.uri.path().split('/').skip(1).map(decode).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = head.uri.query().unwrap_or_default();
        let operation = match path[..] {
            ["clusters", _, "pod-identity-associations"] if query.contains("nextToken=") => {
                Operation::NextPage
            }
            ["clusters", _, "pod-identity-associations"] => Operation::List,
            ["clusters", _, "pod-identity-associations", _] => Operation::Describe,
            _ => Operation::Any,
        };
        if head.method != Method::GET || operation == Operation::Any {
            let refusal = (
                "UnknownOperationException",
                404,
                "Unknown operation".to_owned(),
            );
            return Ok(refuse(&exchange, refusal));
        }
        let fault = self.lock().fault(operation);
        let (shape, code, message) = match fault {
            Some(Fault::NoAnswer) => return Err(Cut),
            Some(Fault::Throttled) => ("ThrottlingException", 429, "Rate exceeded"),
            Some(Fault::Denied) => (
                "AccessDeniedException",
                403,
                "User: arn:aws:sts::111122223333:assumed-role/auditor-sync/i-0abc is not authorized to perform: \
                 eks:ListPodIdentityAssociations on resource: arn:aws:eks:eu-west-1:111122223333:cluster/prod",
            ),
            Some(Fault::Failed) => ("ServerException", 500, "Internal server error"),
            Some(Fault::Late(by)) => {
                tokio::time::sleep(by).await;
                ("", 0, "")
            }
            None => ("", 0, ""),
        };
        if code != 0 {
            return Ok(refuse(&exchange, (shape, code, message.to_owned())));
        }
        let done = match path[..] {
            ["clusters", cluster, ..] if cluster != self.cluster => {
                let message = format!("No cluster found for name: {cluster}.");
                Err(("ResourceNotFoundException", 404, message))
            }
            ["clusters", _, _, id] => self.describe(id),
            _ => self.list(query),
        };
        Ok(match done {
            Ok(value) => answer(&exchange, 200, &value),
            Err(refusal) => refuse(&exchange, refusal),
        })
    }
}

impl State {
    /// Uses it up by one.
    fn fault(&mut self, operation: Operation) -> Option<Fault> {
        let now = Instant::now();
        if let Some(rate) = self.rate {
            let (start, count) = self
                .second
                .filter(|(start, _)| now.duration_since(*start) < Duration::from_secs(1))
                .unwrap_or((now, 0));
            self.second = Some((start, count + 1));
            if count >= rate {
                return Some(Fault::Throttled);
            }
        }
        let (_, fault, times) = self.faults.iter_mut().find(|(befalls, _, times)| {
            let fits = match befalls {
                Operation::Any => true,
                Operation::List => matches!(operation, Operation::List | Operation::NextPage),
                other => *other == operation,
            };
            fits && *times != Some(0)
        })?;
        if let Some(times) = times {
            *times -= 1;
        }
        Some(fault.clone())
    }
}

impl Shared {
    fn list(&self, query: &str) -> Result<Value, Refusal> {
        let invalid = |message: String| ("InvalidParameterException", 400, message);
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let mut values = pairs.filter(|(key, _)| *key == name);
            values.next().map(|(_, value)| decode(value))
        };
        let size: usize = match parameter("maxResults") {
            None => 100,
            Some(text) => text
                .parse()
                .ok()
                .filter(|size| (1..=100).contains(size))
                .ok_or_else(|| invalid(format!("maxResults: {text} is not from 1 to 100")))?,
        };
        let after = match parameter("nextToken") {
            None => String::new(),
            Some(token) => BASE64_STANDARD
                .decode(&token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| invalid("Invalid token".to_owned()))?,
        };
        let state = self.lock();
        let mut rest = state
            .associations
            .range(after.clone()..)
            .filter(|(id, _)| after.is_empty() || **id != after)
            .map(|(_, association)| association)
            .filter(|known| parameter("namespace").is_none_or(|n| n == known.namespace))
            .filter(|known| parameter("serviceAccount").is_none_or(|s| s == known.service_account))
            .peekable();
        let mut page = Vec::new();
        let mut last = String::new();
        while page.len() < size
            && let Some(association) = rest.next()
        {
            last.clone_from(&association.id);
            page.push(association.summary(&self.cluster));
        }
        // Base64 with its own alphabet: the token must be percent-encoded when it is sent back.
        let next = rest.peek().map(|_| BASE64_STANDARD.encode(last));
        Ok(json!({"associations": page, "nextToken": next}))
    }

    fn describe(&self, id: &str) -> Result<Value, Refusal> {
        let state = self.lock();
        let association = state.associations.get(id).ok_or_else(|| {
            let message = format!("The association ID {id} does not exist.");
            ("ResourceNotFoundException", 404, message)
        })?;
        Ok(json!({"association": association.whole(&self.cluster)}))
    }
}

fn refuse(exchange: &Exchange, (shape, code, message): Refusal) -> Response<Body> {
    let mut response = answer(exchange, code, &json!({"message": message}));
    if let Ok(value) = HeaderValue::from_str(&format!("{shape}:http://internal.amazon.com/coral/"))
    {
        response
            .headers_mut()
            .insert(HeaderName::from_static("x-amzn-errortype"), value);
    }
    response
}

fn answer(exchange: &Exchange, code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(value.to_string(), exchange.entry.clone()));
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        headers.insert(HeaderName::from_static("x-amzn-requestid"), id);
    }
    response
}
