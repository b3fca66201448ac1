//! Requests to the API server (and to etcd's JSON gateway) by curl: the lab needs no TLS of its own.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A server, as one who may do everything.
#[derive(Clone, Debug)]
pub struct Api {
    pub url: String,
    pub ca: PathBuf,
    /// etcd refuses any.
    pub token: Option<String>,
}

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const MERGE: &str = "application/merge-patch+json";

impl Api {
    pub fn get(&self, path: &str) -> Result<Value> {
        self.ask("GET", path, None)
    }

    pub fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.ask("POST", path, Some((JSON, &object.to_string())))
    }

    pub fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.ask("PATCH", path, Some((MERGE, &patch.to_string())))
    }

    pub fn replace(&self, path: &str, object: &Value) -> Result<Value> {
        self.ask("PUT", path, Some((JSON, &object.to_string())))
    }

    /// At once, without a grace period.
    pub fn delete(&self, path: &str) -> Result<()> {
        self.ask("DELETE", &format!("{path}?gracePeriodSeconds=0"), None)
            .map(drop)
    }

    /// The server says that it is ready, its own roles included.
    pub fn is_ready(&self) -> bool {
        matches!(self.raw("GET", "/readyz", None), Ok((200, _)))
    }

    pub fn ask(&self, verb: &str, path: &str, body: Option<(&str, &str)>) -> Result<Value> {
        let (status, text) = self.raw(verb, path, body)?;
        if !(200..300).contains(&status) {
            bail!("{verb} {path}: {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{verb} {path}: {text}"))
    }

    /// What the server makes of it, be it a refusal: the status, and its words.
    pub fn raw(&self, verb: &str, path: &str, body: Option<(&str, &str)>) -> Result<(u16, String)> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--http1.1", "--noproxy", "*"]);
        command.args(["--max-time", "20", "--request", verb]);
        command.arg("--cacert").arg(&self.ca);
        // Not on the command line, which everybody may read.
        command.args(["--config", "-", "--write-out", "\n%{http_code}"]);
        let mut config = String::new();
        if let Some(token) = &self.token {
            config.push_str(&format!("header = \"Authorization: Bearer {token}\"\n"));
        }
        if let Some((kind, text)) = body {
            config.push_str(&format!("header = \"Content-Type: {kind}\"\n"));
            config.push_str(&format!("data-binary = {}\n", quoted(text)));
        }
        command.arg(format!("{}{path}", self.url));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start curl (apt-get install -y curl)")?;
        child
            .stdin
            .take()
            .context("curl has no stdin")?
            .write_all(config.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "{verb} {}{path}: {}",
                self.url,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, status) = text.rsplit_once('\n').context("curl wrote no status")?;
        Ok((status.parse()?, body.to_owned()))
    }
}

/// A string of curl's configuration file.
fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace('\t', "\\t");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_line_of_configuration() {
        assert_eq!(quoted("a\\b \"c\"\nd"), r#""a\\b \"c\"\nd""#);
    }
}
