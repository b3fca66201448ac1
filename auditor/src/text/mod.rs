//! Events for people: one line each, in columns, coloured on a terminal.
//!
//! A line of the contract's JSON in, a line of text out ([`line`]); nothing else counts. The JSON may be anybody's: what is
//! missing or of another type is shown as unknown, and nothing of it reaches a terminal as a command ([`row::Row::push`]).

mod about;
mod credential;
mod doing;
mod field;
mod row;
mod style;
mod words;

use serde_json::Value;

use self::{
    field::{at, text},
    row::{Paint, Row},
};
pub use self::{
    style::{ColorChoice, Style, Times},
    words::{bytes, count, duration},
};

/// Where the columns begin, behind the time: the verdict, what happened, who did it. What does not fit pushes the rest on.
const VERDICT: usize = 0;
const EVENT: usize = 13;
const WHO: usize = 22;
const WHAT: usize = 48;

/// The event types of the contract, and the words that stand for them in the second column.
pub const EVENTS: [(&str, &str); 14] = [
    ("token_open", "open"),
    ("token_received", "received"),
    ("credential_connect", "connect"),
    ("connection_closed", "closed"),
    ("agent_accept", "accept"),
    ("listen", "listen"),
    ("memory_access", "memory"),
    ("socket_create", "socket"),
    ("finding", "finding"),
    ("summary", "summary"),
    ("loss", "loss"),
    ("health", "health"),
    ("ready", "ready"),
    ("stopped", "stopped"),
];

/// A line of JSON that was read, for people; without a newline.
#[must_use]
pub fn line(event: &Value, style: Style) -> String {
    let mut row = begin(text(event, "/time"), style);
    let name = text(event, "/event").unwrap_or("?");
    match name {
        "token_open" | "token_received" | "credential_connect" | "connection_closed"
        | "agent_accept" | "listen" | "memory_access" | "socket_create" => {
            doing::write(&mut row, name, event);
        }
        "finding" => about::posture(&mut row, event),
        "summary" => about::summary(&mut row, event),
        "loss" => about::loss(&mut row, event),
        "health" => about::health(&mut row, event),
        "ready" => about::ready(&mut row, event),
        "stopped" => about::stopped(&mut row, event),
        _ => {
            row.column(EVENT);
            row.push(Paint::Plain, name);
            row.column(WHAT);
            row.push(Paint::Dim, "an event that this version does not know");
        }
    }
    if style.ids
        && let Some(id) = text(event, "/id")
    {
        row.word(Paint::Dim, id);
    }
    row.finish(style)
}

/// A remark of the reader's own between the events, such as a gap, in the same columns.
#[must_use]
pub fn remark(time: Option<&str>, verdict: &str, what: &str, style: Style) -> String {
    let mut row = begin(time, style);
    row.push(Paint::Bad, verdict);
    row.column(EVENT);
    row.push(Paint::Plain, what);
    row.finish(style)
}

/// The line that begins a day, where the events tell the time of day only.
#[must_use]
pub fn day(date: &str, style: Style) -> String {
    let mut row = Row::default();
    row.push(Paint::Dim, &format!("-- {date}, UTC --"));
    row.finish(style)
}

fn begin(time: Option<&str>, style: Style) -> Row {
    let mut row = Row::default();
    row.push(Paint::Dim, &style.times.show(time));
    row.push(Paint::Plain, " ");
    row.begin_columns();
    row.column(VERDICT);
    row
}

/// `namespace/name` of what `place` holds; only what is known of it.
fn pod(event: &Value, place: &str) -> Option<String> {
    let place = at(event, place).filter(|pod| pod.is_object())?;
    let name = match (text(place, "/namespace"), text(place, "/name")) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (None, Some(name)) => name.to_owned(),
        _ => format!("pod {}", text(place, "/uid").unwrap_or("?")),
    };
    Some(name)
}

#[cfg(test)]
mod tests;
