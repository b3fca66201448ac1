//! A server on 127.0.0.1 that answers as it was told, one connection a request, and notes what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Api, Timing, client::client};
use crate::metrics::ApiMetrics;

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// The connection is closed in the middle of the body.
    Cut,
    /// Nothing more comes, and the connection stays.
    Hang,
}

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub code: u16,
    pub headers: String,
    pub body: String,
    pub end: End,
    /// Before anything is answered.
    pub after: Duration,
}

impl Reply {
    pub fn ok(body: impl Into<String>) -> Self {
        Self {
            code: 200,
            headers: String::new(),
            body: body.into(),
            end: End::Whole,
            after: Duration::ZERO,
        }
    }

    pub fn status(code: u16, message: &str) -> Self {
        let body = format!(r#"{{"kind":"Status","code":{code},"message":"{message}"}}"#);
        Self {
            code,
            ..Self::ok(body)
        }
    }

    pub fn end(self, end: End) -> Self {
        Self { end, ..self }
    }

    pub fn header(self, header: &str) -> Self {
        let headers = format!("{}{header}\r\n", self.headers);
        Self { headers, ..self }
    }

    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}

type Answering = dyn Fn(&str) -> Reply + Send + Sync;

/// Answers in the order of its script; when that is used up, it hangs.
#[derive(Clone)]
pub(crate) struct Server {
    pub api: Api,
    pub metrics: ApiMetrics,
    script: Arc<Mutex<VecDeque<Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
    answering: Arc<Answering>,
}

impl Server {
    pub async fn start(timing: Timing, script: impl IntoIterator<Item = Reply>) -> Self {
        let script: Arc<Mutex<VecDeque<Reply>>> =
            Arc::new(Mutex::new(script.into_iter().collect()));
        let replies = script.clone();
        let answering = move |_: &str| {
            let next = replies.lock().unwrap().pop_front();
            next.unwrap_or_else(|| Reply::ok("").end(End::Hang))
        };
        let server = Self::answering(timing, answering).await;
        Self { script, ..server }
    }

    /// One that answers each path and query in its own way.
    pub async fn answering(
        timing: Timing,
        answering: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = ApiMetrics::default();
        let url = format!("http://{address}").parse().unwrap();
        let client = client(::kube::Config::new(url)).unwrap();
        let server = Self {
            api: Api::new(client, metrics.clone(), timing),
            metrics,
            script: Arc::default(),
            asked: Arc::default(),
            answering: Arc::new(answering),
        };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = serving.clone();
                tokio::spawn(async move { server.answer(stream).await });
            }
        });
        server
    }

    /// Adds to the script.
    pub fn then(&self, reply: Reply) {
        self.script.lock().unwrap().push_back(reply);
    }

    /// Paths and queries, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(&self, mut stream: TcpStream) {
        // Answers are written in pieces.
        let _ = stream.set_nodelay(true);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split_whitespace().nth(1).unwrap().to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let reply = (self.answering)(&path);
        tokio::time::sleep(reply.after).await;
        let Reply {
            code,
            headers,
            body,
            end,
            ..
        } = reply;
        let head = format!(
            "HTTP/1.1 {code} x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n{headers}\r\n"
        );
        let _ = stream.write_all(head.as_bytes()).await;
        if !body.is_empty() {
            let chunk = format!("{:x}\r\n{body}\r\n", body.len());
            let _ = stream.write_all(chunk.as_bytes()).await;
        }
        match end {
            End::Whole => drop(stream.write_all(b"0\r\n\r\n").await),
            End::Cut => {}
            // Until the other side has enough.
            End::Hang => drop(stream.read_u8().await),
        }
    }
}

/// Of another server on loopback.
pub(crate) fn plain_client(url: &str) -> ::kube::Client {
    client(::kube::Config::new(url.parse().unwrap())).unwrap()
}

/// Everything at once, but a watch that may last.
pub(crate) fn fast() -> Timing {
    let moment = Duration::from_millis(20);
    Timing {
        start_jitter: Duration::ZERO,
        answer_within: Duration::from_secs(5),
        silence: Duration::from_secs(5),
        watch: Duration::from_secs(10),
        watch_slack: Duration::from_secs(5),
        bookmark_silence: Duration::from_secs(10),
        short_watch: Duration::from_millis(10),
        backoff_least: moment,
        backoff_most: moment * 4,
        refused: moment,
        patience: Duration::ZERO,
        page: 2,
    }
}
