//! The body of an answer, as it comes in.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    time::Duration,
};

use ::kube::client::Body;
use bytes::Bytes;
use hyper::body::Body as _;
use tokio::time::timeout;

use super::Failure;
use crate::metrics::ApiMetrics;

/// Of pages that are read whole: 250 pods are 5 MB.
const MOST: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Answer {
    body: Pin<Box<Body>>,
    metrics: ApiMetrics,
    resource: &'static str,
}

impl Answer {
    pub fn new(body: Body, metrics: ApiMetrics, resource: &'static str) -> Self {
        Self {
            body: Box::pin(body),
            metrics,
            resource,
        }
    }

    /// The next piece; null at the end.
    pub async fn piece(&mut self, silence: Duration) -> Result<Option<Bytes>, Failure> {
        let body = &mut self.body;
        let data = async {
            loop {
                let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await;
                match frame {
                    None => return Ok(None),
                    // Trailers are of no interest.
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                    Some(Err(error)) => return Err(Failure::Cut(Failure::chain(&error))),
                }
            }
        };
        let data = timeout(silence, pin!(data))
            .await
            .map_err(|_| Failure::Cut(format!("silent for {silence:?}")))??;
        if let Some(data) = &data {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.metrics.add_received(self.resource, length);
        }
        Ok(data)
    }

    /// All of it.
    pub async fn whole(mut self, silence: Duration) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece(silence).await? {
            if all.len() + piece.len() > MOST {
                return Err(Failure::Garbled(format!("longer than {MOST} bytes")));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}
