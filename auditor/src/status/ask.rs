//! Who asks: one question, with a limit to everything.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::sockopt::socket_peercred;
use serde_json::Value;

use super::{SCHEMA, socket};

/// For each step. The daemon may be at a self-test, which takes seconds where a probe is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// No answer is longer.
const MOST: u64 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("there is no directory {}", .0.display())]
    NoDirectory(PathBuf),
    #[error("no auditor runs with {}{}", .path.display(), said(.last_heard))]
    NoDaemon {
        path: PathBuf,
        /// Of its heartbeat.
        last_heard: Option<String>,
    },
    #[error("this user may not ask the auditor at {}", .0.display())]
    NotPermitted(PathBuf),
    #[error("the auditor at {} does not answer within {} s", .0.display(), PATIENCE.as_secs())]
    Silent(PathBuf),
    #[error("the auditor refuses: {0}")]
    Refused(String),
    #[error("what listens at {} is not run by root or this user, but by user {uid}", .path.display())]
    Foreign { path: PathBuf, uid: u32 },
    #[error("the answer makes no sense: {0}")]
    Nonsense(String),
    #[error("cannot ask the auditor at {}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

fn said(last_heard: &Option<String>) -> String {
    match last_heard {
        Some(time) => format!(": the last one was heard at {time}"),
        None => String::new(),
    }
}

impl AskError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::NoDirectory(_) => {
                "name the --state-dir of `auditor run`; an auditor in a container is asked there: kubectl exec … -- auditor status"
            }
            Self::NoDaemon { .. } => {
                "is it running, and with this --state-dir? An auditor without one cannot be asked; /metrics tells as much"
            }
            Self::NotPermitted(_) => "ask as root, or as the user that the auditor runs as",
            Self::Silent(_) => "look at its log, and at /readyz",
            Self::Foreign { .. } => "find out whose process that is",
            Self::Nonsense(_) => "ask it by the executable that runs",
            Self::Refused(_) | Self::Io { .. } => return None,
        };
        Some(help.to_owned())
    }
}

/// Asks the auditor that holds this state directory.
///
/// # Errors
/// When none answers, and why.
pub fn ask(state_dir: &Path) -> Result<Value, AskError> {
    let path = socket::path(state_dir);
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => AskError::NotPermitted(path.clone()),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent(path.clone()),
        io::ErrorKind::NotFound if !state_dir.exists() => {
            AskError::NoDirectory(state_dir.to_owned())
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NoDaemon {
            path: state_dir.to_owned(),
            last_heard: last_heard(state_dir),
        },
        _ => AskError::Io {
            path: path.clone(),
            source,
        },
    };
    let socket = socket::connection(state_dir, PATIENCE).map_err(fail)?;
    // Who may write to the directory could have put his own there.
    let peer = socket_peercred(&socket).map_err(|error| fail(error.into()))?;
    if !peer.uid.is_root() && peer.uid != rustix::process::geteuid() {
        return Err(AskError::Foreign {
            path,
            uid: peer.uid.as_raw(),
        });
    }
    let mut socket = File::from(socket);
    // Who hung up may have said why.
    match socket.write_all(b"status\n") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(fail(error)),
        _ => {}
    }
    let mut text = Vec::new();
    socket.take(MOST).read_to_end(&mut text).map_err(fail)?;
    understand(&text)
}

fn understand(text: &[u8]) -> Result<Value, AskError> {
    let answer: Value =
        serde_json::from_slice(text).map_err(|error| AskError::Nonsense(error.to_string()))?;
    if let Some(why) = answer.get("error").and_then(Value::as_str) {
        return Err(AskError::Refused(why.to_owned()));
    }
    match answer.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) => Ok(answer),
        other => Err(AskError::Nonsense(format!(
            "its schema is {other:?}, and this is {SCHEMA}"
        ))),
    }
}

/// When the auditor that was here last said that it lived.
fn last_heard(state_dir: &Path) -> Option<String> {
    let text = std::fs::read(state_dir.join("heartbeat.json")).ok()?;
    let heartbeat: Value = serde_json::from_slice(&text).ok()?;
    Some(heartbeat.get("time")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn refusal(state_dir: &Path) -> String {
        ask(state_dir).unwrap_err().to_string()
    }

    #[test]
    fn who_is_not_there_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refusal(&dir.path().join("none")).starts_with("there is no directory"));
        assert!(refusal(dir.path()).starts_with("no auditor runs with"));
        let heartbeat = r#"{"run_id":"x","time":"2026-11-22T12:00:00Z","pid":1,"clean":true}"#;
        std::fs::write(dir.path().join("heartbeat.json"), heartbeat).unwrap();
        assert!(refusal(dir.path()).ends_with("the last one was heard at 2026-11-22T12:00:00Z"));
        // As a SIGKILL leaves it.
        drop(UnixListener::bind(socket::path(dir.path())).unwrap());
        assert!(refusal(dir.path()).starts_with("no auditor runs with"));
    }

    #[test]
    fn answers_are_of_this_version_or_a_refusal() {
        for (text, want) in [
            (&br#"{"error":"busy"}"#[..], "the auditor refuses: busy"),
            (br#"{"schema":"auditor-status/v2"}"#, "auditor-status/v2"),
            (b"", "makes no sense"),
            (b"[]", "makes no sense"),
        ] {
            let error = understand(text).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(understand(br#"{"schema":"auditor-status/v1"}"#).is_ok());
    }
}
