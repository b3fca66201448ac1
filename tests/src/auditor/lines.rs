//! The auditor's lines as they are written, each held against what every line must be.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Account, Sequence, explained_hole, ocsf, schema};

/// Whole lines of a file that another process appends to. Each is held against what every line must be.
pub struct Lines {
    path: PathBuf,
    file: Option<BufReader<File>>,
    partial: String,
    envelope: Envelope,
    /// The last event of OCSF that was no finding beside another.
    activity: Option<Value>,
}

impl Lines {
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            partial: String::new(),
            envelope: Envelope::default(),
            activity: None,
        }
    }

    /// What is written as OCSF is read back first.
    pub fn try_next(&mut self) -> Result<Option<Value>> {
        loop {
            let Some(text) = self.try_text()? else {
                return Ok(None);
            };
            let line = self.read(&text);
            if let Some(line) = line.with_context(|| format!("line {}", text.trim_end()))? {
                return Ok(Some(line));
            }
        }
    }

    /// None where the text is the finding beside the activity before it.
    fn read(&mut self, text: &str) -> Result<Option<Value>> {
        let event = plain(text)?;
        if !ocsf::is_event(&event) {
            return self.envelope.take(event).map(Some);
        }
        let Some(line) = ocsf::line(&event, self.activity.as_ref())? else {
            return Ok(None);
        };
        self.activity = Some(event);
        self.envelope.take(line).map(Some)
    }

    fn try_text(&mut self) -> Result<Option<String>> {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else {
            return Ok(None);
        };
        file.read_line(&mut self.partial)
            .with_context(|| format!("read {}", self.path.display()))?;
        if !self.partial.ends_with('\n') {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.partial)))
    }
}

/// A line as it is, without holding it against anything; none where it is no line of its own.
pub fn parse(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    if ocsf::is_event(&value) {
        ocsf::line(&value, Some(&value)).ok().flatten()
    } else {
        Some(value)
    }
}

/// What holds for all lines of one run.
#[derive(Debug, Default)]
pub struct Envelope {
    run_id: Option<Value>,
    sequence: Sequence,
    ids: BTreeSet<String>,
    connects: BTreeSet<String>,
    account: Account,
}

impl Envelope {
    /// Parses a line and checks it against those before it.
    pub fn check(&mut self, text: &str) -> Result<Value> {
        self.take(plain(text)?)
    }

    fn take(&mut self, line: Value) -> Result<Value> {
        for field in [
            "schema",
            "event",
            "id",
            "run_id",
            "time",
            "cluster",
            "node",
            "instance_id",
        ] {
            ensure!(line[field].is_string(), "no {field}");
        }
        schema::check(&line)?;
        let run_id = self.run_id.get_or_insert_with(|| line["run_id"].clone());
        ensure!(
            *run_id == line["run_id"],
            "another run_id than the lines before"
        );
        let seq = line["seq"].as_u64().context("no seq")?;
        let due = self.sequence.take(seq, explained_hole(&line));
        ensure!(seq == due, "seq {seq} where {due} was due");
        self.account.take(&line)?;
        let id = line["id"].as_str().unwrap_or_default().to_owned();
        if line["event"] == "connection_closed" {
            let connect = line["connect_id"].as_str().unwrap_or_default();
            ensure!(
                self.connects.contains(connect),
                "connect_id is not that of an earlier credential_connect"
            );
        }
        if line["event"] == "credential_connect" {
            self.connects.insert(id.clone());
        }
        ensure!(self.ids.insert(id), "its id was used before");
        Ok(line)
    }
}

/// What holds for each line as text.
fn plain(text: &str) -> Result<Value> {
    ensure!(text.len() < 16 * 1024, "{} bytes long", text.len());
    // Every JSON Web Token begins so: its first byte is always an opening brace.
    ensure!(!text.contains("eyJ"), "it holds a token's bytes");
    serde_json::from_str(text).context("not JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, id: &str) -> String {
        format!(
            r#"{{"schema":"auditor/v1","event":"health","id":"{id}","run_id":"r","seq":{seq},"time":"2026-11-22T12:00:00Z","cluster":"c","node":"n","instance_id":"i","account":null,"region":null,"component":"sink","state":"ok","message":"m"}}"#
        )
    }

    #[test]
    fn a_hole_in_seq_a_second_use_of_an_id_and_a_tokens_bytes_are_errors() {
        let mut envelope = Envelope::default();
        envelope.check(&line(0, "a")).unwrap();
        assert!(envelope.check(&line(2, "b")).is_err());
        assert!(envelope.check(&line(1, "a")).is_err());
        assert!(Envelope::default().check(&line(0, "eyJhbGciOi")).is_err());
    }

    #[test]
    fn only_what_the_sink_lost_explains_a_hole_and_exactly_that() {
        let loss = |seq, reason| {
            let times = r#""from":"2026-11-22T12:00:00Z","to":"2026-11-22T12:00:00Z""#;
            line(seq, "b")
                .replace(
                    r#""component":"sink","state":"ok","message":"m""#,
                    &format!(r#""reason":"{reason}","ring":null,"count":3,{times}"#),
                )
                .replace(r#""event":"health""#, r#""event":"loss""#)
        };
        for (seq, reason, good) in [(4, "sink", true), (3, "sink", false), (4, "decode", false)] {
            let mut envelope = Envelope::default();
            envelope.check(&line(0, "a")).unwrap();
            assert_eq!(envelope.check(&loss(seq, reason)).is_ok(), good, "{seq}");
        }
    }
}
