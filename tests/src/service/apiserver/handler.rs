//! From a request to an answer.

use std::{sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::json;

use super::{
    Shared,
    encode::{Form, line},
    faults::Action,
    list::list,
    resource::{Resource, Target, Verb},
    rights::Role,
    selector::Selector,
    status::Status,
    store::Key,
    watch::{Start, Watch},
    write::write,
};
use crate::service::web::{Body, Cut, Exchange, Handler, read};

const JSON: &str = "application/json";

impl Handler for Shared {
    async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        exchange: Exchange,
    ) -> Result<Response<Body>, Cut> {
        let entry = exchange.entry.clone();
        let failed = |status: &Status| refuse(status, &exchange);
        let header = |name| {
            let value = request.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let Some(role) = Role::of(header(AUTHORIZATION)) else {
            return Ok(failed(&Status::unauthorized()));
        };
        if request.uri().path() == "/version" {
            let version = json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1-eks-lab", "platform": "linux/amd64"});
            return Ok(answer(200, JSON, version.to_string().into(), &exchange));
        }
        let target = Target::of(&request).filter(|target| {
            self.options().ack || target.resource != Resource::PodIdentityAssociations
        });
        let Some(target) = target else {
            return Ok(answer(
                404,
                "text/plain; charset=utf-8",
                "404 page not found\n".into(),
                &exchange,
            ));
        };
        let fault = self.faults.take(&target);
        match &fault {
            Some(Action::Status(status)) => return Ok(failed(status)),
            Some(Action::Forbidden) => return Ok(failed(&Status::forbidden(&target, role.user()))),
            Some(Action::NoAnswer) => return Err(Cut),
            Some(Action::Reset) => {
                // Else it ends by FIN.
                let _ = exchange.socket.reset_at_close();
                return Err(Cut);
            }
            Some(Action::Garbage(text)) => return Ok(answer(200, JSON, (*text).into(), &exchange)),
            Some(Action::Late(by)) => tokio::time::sleep(*by).await,
            Some(Action::Half | Action::CutInLine(_)) | None => {}
        }
        if !role.may(&target) {
            return Ok(failed(&Status::forbidden(&target, role.user())));
        }
        let form = Form::of(header(ACCEPT));
        if target.verb == Verb::Watch {
            return Ok(match self.watch(target, form, fault) {
                Ok(watch) => {
                    let (sender, body) = Body::stream(entry);
                    tokio::spawn(watch.run(sender));
                    with_type(200, JSON, body)
                }
                Err(status) => failed(&status),
            });
        }
        let done = match target.verb {
            Verb::Watch | Verb::List => list(&self.store, &target, form).map(|body| (200, body)),
            Verb::Get => self.get(&target, form).map(|body| (200, body)),
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => {
                let body = read(request.into_body()).await;
                write(&self.store, &target, &body)
                    .map(|(code, object)| (code, line(target.resource, &object, form).into()))
            }
        };
        Ok(match (done, fault) {
            (Ok((code, body)), Some(Action::Half)) => {
                with_type(code, JSON, Body::half(&body, entry))
            }
            (Ok((code, body)), _) => answer(code, JSON, body, &exchange),
            (Err(status), _) => failed(&status),
        })
    }
}

impl Shared {
    fn get(&self, target: &Target, form: Form) -> Result<Bytes, Status> {
        let name = target.name.clone().unwrap_or_default();
        let namespace = target.namespace.clone().unwrap_or_default();
        let key: Key = (target.resource, namespace, name);
        match self.store.get(&key) {
            Some(object) => Ok(line(target.resource, &object, form).into()),
            None => Err(Status::not_found(target.resource, &key.2)),
        }
    }

    fn watch(&self, target: Target, form: Form, fault: Option<Action>) -> Result<Watch, Status> {
        let options = self.options();
        let selector = Selector::of(&target)?;
        let start = Start::of(&target, options.streaming_lists)?;
        if let Start::After(version) = start
            && options.gone_by_status
        {
            self.store.since(target.resource, version)?;
        }
        let timeout = match target.parameter("timeoutSeconds") {
            "" => options.watch_timeout,
            text => Duration::from_secs(text.parse().map_err(|_| {
                Status::bad_request(format!("timeoutSeconds: invalid number {text:?}"))
            })?),
        };
        Ok(Watch {
            store: self.store.clone(),
            bookmarks: target
                .flag("allowWatchBookmarks")
                .then_some(options.bookmarks),
            target,
            form,
            selector,
            start,
            timeout,
            ends: self.ends.subscribe(),
            fault,
        })
    }
}

fn refuse(status: &Status, exchange: &Exchange) -> Response<Body> {
    let body = format!("{}\n", status.json());
    let mut response = answer(status.code, JSON, body.into(), exchange);
    if let Some(seconds) = status.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn answer(code: u16, kind: &'static str, body: Bytes, exchange: &Exchange) -> Response<Body> {
    with_type(
        code,
        kind,
        Body::whole(body, exchange.entry.clone()).chunked_when_long(),
    )
}

fn with_type(code: u16, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
