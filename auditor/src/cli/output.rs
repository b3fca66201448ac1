//! `--output`: how events are written.

use super::UsageError;

/// A new one is a variant here, its word in [`OutputFormat::parse`], and an encoder in [`crate::report::Format`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputFormat {
    /// The contract: `docs/event.schema.json`.
    #[default]
    Json,
    /// For people, as `auditor tail` shows it.
    Text,
}

impl OutputFormat {
    /// # Errors
    /// When `value` is no format, or one that comes later.
    pub(super) fn parse(value: Option<&str>) -> Result<Self, UsageError> {
        match value {
            None | Some("json") => Ok(Self::Json),
            Some("text") => Ok(Self::Text),
            Some("ocsf") => Err(UsageError::Later {
                flag: "--output ocsf".to_owned(),
                instead: "--output json",
            }),
            Some(value) => Err(UsageError::value(
                "--output",
                value,
                "`json`, `ocsf` or `text`",
                "--output json",
            )),
        }
    }
}
