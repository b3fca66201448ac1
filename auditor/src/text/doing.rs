//! Uses of credentials: verdict, event, who, findings, what, and details behind them.
//!
//! What is cut on a narrow terminal is the end: what counts stands first.

use serde_json::Value;

use super::{
    EVENT, EVENTS, WHAT, WHO, credential,
    field::{at, is_true, number, text, texts},
    pod,
    row::{Paint, Row},
    words::count,
};

pub(super) fn write(row: &mut Row, name: &str, event: &Value) {
    let (word, paint) = verdict(text(event, "/verdict"));
    row.push(paint, word);
    row.column(EVENT);
    let short = EVENTS.iter().find(|(long, _)| *long == name);
    row.push(Paint::Plain, short.map_or(name, |(_, short)| short));
    row.column(WHO);
    row.push(Paint::Name, &who(name, event));
    row.column(WHAT);
    findings(row, event);
    row.word(Paint::Plain, &what(name, event));
    details(row, event);
}

/// The word in the first column; what is grave is told apart without colours, too.
fn verdict(verdict: Option<&str>) -> (&str, Paint) {
    match verdict {
        Some("violation") => ("VIOLATION", Paint::Bad),
        Some("suspicious") => ("SUSPICIOUS", Paint::Medium),
        Some("undetermined") => ("UNDETERMINED", Paint::Unclear),
        Some("allowed") => ("allowed", Paint::Good),
        Some(other) => (other, Paint::Plain),
        None => ("?", Paint::Plain),
    }
}

fn who(name: &str, event: &Value) -> String {
    if let Some(pod) = pod(event, "/pod") {
        return pod;
    }
    if name == "agent_accept" {
        return text(event, "/peer").unwrap_or("unknown").to_owned();
    }
    match text(event, "/attribution/process") {
        Some("host") => "host".to_owned(),
        Some("conflict") => "more than one pod".to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// `[foreign-token-open:critical, role-drift:exempt (known)]`
pub(super) fn findings(row: &mut Row, event: &Value) {
    let found = at(event, "/findings").and_then(Value::as_array);
    let mut separator = "[";
    for finding in found.into_iter().flatten() {
        let severity = text(finding, "/severity").unwrap_or("?");
        let (severity, paint) = match (text(finding, "/exempted_by"), severity) {
            (Some(reason), _) => (format!("exempt ({reason})"), Paint::Dim),
            (None, "critical" | "high") => (severity.to_owned(), Paint::Bad),
            (None, "medium") => (severity.to_owned(), Paint::Medium),
            (None, _) => (severity.to_owned(), Paint::Plain),
        };
        row.push(Paint::Plain, separator);
        let id = text(finding, "/id").unwrap_or("?");
        row.push(paint, &format!("{id}:{severity}"));
        separator = ", ";
    }
    if separator != "[" {
        row.push(Paint::Plain, "]");
    }
}

fn what(name: &str, event: &Value) -> String {
    let relation = text(event, "/relation");
    let and_access = |what: String| match credential::access(event) {
        Some(access) => format!("{what} {access}"),
        None => what,
    };
    match name {
        "token_open" => and_access(credential::token(event, relation)),
        "token_received" => {
            let what = if at(event, "/token").is_some() {
                credential::token(event, relation)
            } else {
                let owner = pod(event, "/connection/owner");
                let endpoint =
                    credential::endpoint(event, "/connection/endpoint", "/connection/dst");
                let owner = owner.unwrap_or_else(|| "nobody known".to_owned());
                format!("{owner}'s connection to {endpoint}")
            };
            let what = and_access(what);
            match credential::other(event, "/from") {
                Some(from) => format!("{what} from {from}"),
                None => what,
            }
        }
        "credential_connect" => format!(
            "{} {}",
            credential::endpoint(event, "/connection/endpoint", "/connection/dst"),
            credential::outcome(event)
        ),
        "connection_closed" => format!(
            "{} {}",
            credential::endpoint(event, "/connection/endpoint", "/connection/dst"),
            credential::traffic(event)
        ),
        "agent_accept" => {
            let endpoint = credential::endpoint(event, "/endpoint", "/local");
            // Where the pod is not known, the peer stands in its place.
            let peer = text(event, "/peer").filter(|_| at(event, "/pod").is_some());
            let from = peer.map_or_else(String::new, |peer| format!(" from {peer}"));
            let listener = pod(event, "/listener");
            let by = listener.map_or_else(String::new, |pod| format!(" by {pod}"));
            format!("{endpoint}{from}{by}")
        }
        "listen" => {
            let local = text(event, "/socket/local").unwrap_or("?");
            format!("on {local}")
        }
        "memory_access" => {
            let target = credential::other(event, "/target");
            let target = target.unwrap_or_else(|| "an unknown process".to_owned());
            format!("{target} by {}", text(event, "/via").unwrap_or("?"))
        }
        "socket_create" => {
            let part = |pointer| text(event, pointer).unwrap_or("?");
            format!("{} {}", part("/socket/family"), part("/socket/type"))
        }
        _ => String::new(),
    }
}

fn details(row: &mut Row, event: &Value) {
    let lacking = texts(event, "/undetermined");
    if !lacking.is_empty() {
        row.word(Paint::Unclear, &format!("lacks {}", lacking.join(", ")));
    }
    let mut detail = |text: String| row.word(Paint::Dim, &text);
    if let Some(process) = at(event, "/process") {
        let exe = text(process, "/exe")
            .or(text(process, "/comm"))
            .unwrap_or("?");
        let pid = number(process, "/pid").map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        detail(format!("{exe}[{pid}]"));
        if is_true(process, "/exec_session") {
            let tty = text(process, "/tty");
            detail(tty.map_or_else(
                || "exec session".to_owned(),
                |tty| format!("exec session on {tty}"),
            ));
        }
        if let Some(login) = number(process, "/login_uid") {
            detail(format!("login uid {login}"));
        }
    }
    if let Some(role) = text(event, "/binding/role_arn") {
        // Of `arn:PARTITION:iam::ACCOUNT:role/NAME` what tells roles apart.
        detail(format!(
            "role {}",
            role.split_once(":role/").map_or(role, |(_, name)| name)
        ));
    }
    if let Some(repeats) = number(event, "/repeats").filter(|repeats| *repeats > 0) {
        detail(format!("and {} more", count(repeats)));
    }
}
