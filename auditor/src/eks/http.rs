//! One HTTP stack for EKS and for the credentials: hyper with rustls and ring. Proxies are those of the environment.

use std::{future::poll_fn, pin::pin};

use aws_smithy_http_client::{
    Connector, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::HttpRequest,
};
use bytes::{Bytes, BytesMut};
use hyper::body::Body;

use super::roots;

/// Of an answer. A page of 100 associations is some 40 KB, one with an inline policy some 12 KB.
const MAX_ANSWER: usize = 8 << 20;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// `x-amzn-ErrorType`
    pub error_type: Option<String>,
    /// In seconds.
    pub retry_after: Option<u64>,
    pub body: Bytes,
}

/// Requests go out by this.
#[must_use]
pub fn connector() -> SharedHttpConnector {
    SharedHttpConnector::new(secure(Connector::builder()))
}

/// For `aws-config`, which sets time limits of its own (instance metadata: one second).
#[must_use]
pub fn client_for_credentials() -> SharedHttpClient {
    http_client_fn(|settings, components| {
        let mut builder = Connector::builder().connector_settings(settings.clone());
        builder.set_sleep_impl(components.sleep_impl());
        SharedHttpConnector::new(secure(builder))
    })
}

fn secure(builder: ConnectorBuilder) -> Connector {
    builder
        .proxy_config(ProxyConfig::from_env())
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(roots::tls_context())
        .build()
}

/// GETs `uri`. Sets no time limit.
///
/// # Errors
/// In words: no connection, one that broke, or an answer that is too long.
pub async fn get(
    connector: &SharedHttpConnector,
    uri: &str,
    headers: impl IntoIterator<Item = (String, String)>,
) -> Result<Answer, String> {
    let mut request = HttpRequest::get(uri).map_err(|error| super::error::chain(&error))?;
    for (name, value) in headers {
        request
            .headers_mut()
            .try_insert(name, value)
            .map_err(|error| super::error::chain(&error))?;
    }
    let response = connector
        .call(request)
        .await
        .map_err(|error| super::error::chain(&error))?;
    let header = |name: &str| response.headers().get(name).map(str::trim);
    let status = response.status().as_u16();
    let error_type = header("x-amzn-errortype").map(ToOwned::to_owned);
    let retry_after = header("retry-after").and_then(|value| value.parse().ok());

    let mut body = pin!(response.into_body());
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > MAX_ANSWER {
            return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Answer {
        status,
        error_type,
        retry_after,
        body: whole.freeze(),
    })
}
