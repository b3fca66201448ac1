//! Prometheus' HTTP API, as much as the suite asks: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

#[derive(Clone, Copy, Debug)]
pub struct Api {
    pub addr: SocketAddr,
}

impl Api {
    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        self.get("/-/ready").is_ok_and(|(status, _)| status == 200)
    }

    /// `data.alerts`: pending and firing ones.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let data = self.data("/api/v1/alerts")?;
        let alerts = data["alerts"].as_array().context("no alerts")?;
        Ok(alerts.clone())
    }

    /// `data` of an instant query.
    pub fn query(&self, query: &str) -> Result<Value> {
        self.data(&format!("/api/v1/query?query={}", encoded(query)))
            .with_context(|| query.to_owned())
    }

    /// `data` of a range query; times in seconds since the epoch.
    pub fn query_range(&self, query: &str, start: f64, end: f64, step: f64) -> Result<Value> {
        let query = encoded(query);
        self.data(&format!(
            "/api/v1/query_range?query={query}&start={start:.3}&end={end:.3}&step={step}"
        ))
        .with_context(|| query)
    }

    fn data(&self, path: &str) -> Result<Value> {
        let (status, body) = self.get(path)?;
        let mut answer: Value = serde_json::from_slice(&body)
            .with_context(|| format!("status {status}: {}", String::from_utf8_lossy(&body)))?;
        ensure!(answer["status"] == "success", "{}", answer["error"]);
        Ok(answer["data"].take())
    }

    /// By HTTP/1.0, so that the body is all there is until the end.
    fn get(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.addr).context("connect to Prometheus")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.addr)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let head_end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let head_end = head_end.context("no end of the headers")?;
        let status = std::str::from_utf8(&answer[..head_end])?
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .context("no status")?;
        Ok((status, answer.split_off(head_end + 4)))
    }
}

/// Percent-encoding (RFC 3986) of all but the unreserved characters.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[test]
fn a_query_is_encoded() {
    assert_eq!(encoded(r#"up{a="b c"}"#), "up%7Ba%3D%22b%20c%22%7D");
}
