//! `--output`: how events are written.

use super::UsageError;

/// A new one is a variant here, its word in [`OutputFormat::parse`], and an encoder in [`crate::report::Format`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// The contract: `docs/event.schema.json`.
    #[default]
    Json,
    /// The Open Cybersecurity Schema Framework: `docs/ocsf.md`.
    Ocsf,
    /// For people, as `auditor tail` shows it.
    Text,
}

impl OutputFormat {
    /// # Errors
    /// When `value` is no format.
    pub(super) fn parse(value: Option<&str>) -> Result<Self, UsageError> {
        match value {
            None | Some("json") => Ok(Self::Json),
            Some("ocsf") => Ok(Self::Ocsf),
            Some("text") => Ok(Self::Text),
            Some(value) => Err(UsageError::value(
                "--output",
                value,
                "`json`, `ocsf` or `text`",
                "--output json",
            )),
        }
    }
}
