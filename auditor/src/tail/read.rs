//! A line's bytes as an event, or why they are none.

use std::fmt;

use serde_json::{Value, error::Category};

use crate::{event::SCHEMA, report::LINE_LIMIT};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    TooLong,
    /// It ends in the middle: its writer was killed, or its disk was full.
    Torn,
    NotJson(String),
    /// JSON, but no event of any version.
    NoEvent,
    Schema(String),
}

impl Trouble {
    /// What many of them have in common.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLong => "too long",
            Self::Torn => "torn",
            Self::NotJson(_) => "not JSON",
            Self::NoEvent => "no events of the auditor",
            Self::Schema(_) => "of another version",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "too long: no event has {LINE_LIMIT} bytes"),
            Self::Torn => f.write_str("torn: it ends in the middle of an event"),
            Self::NotJson(why) => write!(f, "not JSON: {why}"),
            Self::NoEvent => {
                f.write_str("no event of the auditor: there is no `schema` or no `event`")
            }
            Self::Schema(schema) => {
                write!(
                    f,
                    "of another version: its schema is {schema:?}, and this auditor reads {SCHEMA:?}"
                )
            }
        }
    }
}

/// # Errors
/// When it is no event of the version that this auditor writes.
pub fn event(line: &[u8]) -> Result<Value, Trouble> {
    let event: Value = serde_json::from_slice(line).map_err(|error| match error.classify() {
        Category::Eof => Trouble::Torn,
        // Its line is always the first.
        _ => Trouble::NotJson(error.to_string().replace(" at line 1 column", " at column")),
    })?;
    match event.get("schema").and_then(Value::as_str) {
        Some(SCHEMA) if event.get("event").is_some_and(Value::is_string) => Ok(event),
        Some(SCHEMA) | None => Err(Trouble::NoEvent),
        Some(other) => Err(Trouble::Schema(short(other))),
    }
}

/// A version is a word.
fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_line_is_no_event() {
        for (line, want) in [
            (r#"{"schema":"auditor/v1","event":"loss"}"#, None),
            (r#"{"schema":"auditor/v1","event":"loss""#, Some("torn")),
            (
                r#"{"schema":"auditor/v1"}"#,
                Some("no `schema` or no `event`"),
            ),
            (
                r#"{"schema":"auditor/v1","event":1}"#,
                Some("no `schema` or no `event`"),
            ),
            (
                r#"{"schema":"auditor/v2","event":"loss"}"#,
                Some("\"auditor/v2\""),
            ),
            ("{}", Some("no `schema`")),
            ("[1]", Some("no `schema`")),
            ("17", Some("no `schema`")),
            (
                "Nov 22 12:00 host",
                Some("not JSON: expected value at column 1"),
            ),
            ("\u{1b}[2J", Some("not JSON")),
        ] {
            let trouble = event(line.as_bytes())
                .err()
                .map(|trouble| trouble.to_string());
            match want {
                None => assert_eq!(trouble, None),
                Some(words) => assert!(
                    trouble.as_ref().is_some_and(|t| t.contains(words)),
                    "{line}: {trouble:?}"
                ),
            }
        }
        assert!(matches!(event(b"\"\xff\""), Err(Trouble::NotJson(_))));
        let deep = "[".repeat(10_000);
        assert!(matches!(event(deep.as_bytes()), Err(Trouble::NotJson(_))));
    }
}
