//! What was used: a token, a connection, another's memory.

use serde_json::Value;

use super::{
    field::{at, number, text, texts},
    pod,
    words::{bytes, duration},
};

/// `own irsa token`, `payments/ledger-1's pod-identity token`.
pub(super) fn token(event: &Value, relation: Option<&str>) -> String {
    let kind = match text(event, "/token/kind") {
        Some("irsa") => "IRSA token",
        Some("pod-identity") => "Pod Identity token",
        Some("service-account") => "ServiceAccount token",
        Some("other") => "other token",
        _ => "token of an unknown kind",
    };
    match (relation, pod(event, "/token/owner")) {
        (Some("own"), _) => format!("own {kind}"),
        (_, Some(owner)) => format!("{owner}'s {kind}"),
        (_, None) => format!("nobody known's {kind}"),
    }
}

/// What was done to the token, where it was not simply opened to be read.
pub(super) fn access(event: &Value) -> Option<String> {
    if let Some(errno) = at(event, "/access/errno").and_then(Value::as_i64) {
        return Some(format!("refused ({})", error_name(errno)));
    }
    let is_written = |flag: &&str| matches!(*flag, "O_WRONLY" | "O_RDWR");
    match text(event, "/access/via") {
        Some("held") => Some("held open".to_owned()),
        Some("mapped") => Some("mapped".to_owned()),
        Some("scm_rights") => Some("by SCM_RIGHTS".to_owned()),
        Some("pidfd_getfd") => Some("by pidfd_getfd".to_owned()),
        Some("seccomp_addfd") => Some("by seccomp ADDFD".to_owned()),
        _ => texts(event, "/access/flags")
            .iter()
            .any(is_written)
            .then(|| "for writing".to_owned()),
    }
}

/// The endpoint's name, and its address where the name says little.
pub(super) fn endpoint(event: &Value, name: &str, address: &str) -> String {
    match (text(event, name), text(event, address)) {
        (Some(name @ ("pod-identity-agent" | "imds")), _) => name.to_owned(),
        (Some(name), Some(address)) => format!("{name} ({address})"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => "an unknown endpoint".to_owned(),
    }
}

/// `established in 90 µs`, `refused (ECONNREFUSED)`, `pending`.
pub(super) fn outcome(event: &Value) -> String {
    let outcome = text(event, "/connection/outcome").unwrap_or("?");
    let errno = at(event, "/connection/errno").and_then(Value::as_i64);
    match (number(event, "/connection/duration_us"), errno) {
        (_, Some(errno)) => format!("{outcome} ({})", error_name(errno)),
        (Some(took), None) if outcome == "established" => {
            format!("{outcome} in {}", duration(took))
        }
        (Some(took), None) => format!("{outcome} after {}", duration(took)),
        (None, None) => outcome.to_owned(),
    }
}

/// `1.2 KiB out, 1.1 KiB in, 666 µs`
pub(super) fn traffic(event: &Value) -> String {
    let size = |pointer| number(event, pointer).map_or_else(|| "?".to_owned(), bytes);
    let mut traffic = format!(
        "{} out, {} in",
        size("/bytes_sent"),
        size("/bytes_received")
    );
    if let Some(took) = number(event, "/duration_us") {
        traffic = format!("{traffic}, {}", duration(took));
    }
    traffic
}

/// A process that something was done to: `payments/api-1 (app[17])`.
pub(super) fn other(event: &Value, place: &str) -> Option<String> {
    let process = at(event, place)?;
    let comm = text(process, "/comm").unwrap_or("?");
    let pid = number(process, "/pid").map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    Some(match pod(process, "/pod") {
        Some(pod) => format!("{pod} ({comm}[{pid}])"),
        None => format!("{comm}[{pid}]"),
    })
}

/// The names that people look for (errno(3), Linux's generic numbers); the others keep their number.
fn error_name(errno: i64) -> String {
    let name = match errno {
        1 => "EPERM",
        2 => "ENOENT",
        4 => "EINTR",
        13 => "EACCES",
        101 => "ENETUNREACH",
        103 => "ECONNABORTED",
        104 => "ECONNRESET",
        110 => "ETIMEDOUT",
        111 => "ECONNREFUSED",
        112 => "EHOSTDOWN",
        113 => "EHOSTUNREACH",
        115 => "EINPROGRESS",
        number => return format!("errno {number}"),
    };
    name.to_owned()
}
