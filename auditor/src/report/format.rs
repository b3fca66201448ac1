//! How a line is written: the ways that `--output` names.

use std::io;

use serde::Serialize;
use serde_json::ser::Serializer;

use super::encode::OneLine;
use crate::{
    event::Line,
    ocsf,
    text::{self, Style},
};

/// None of them depends on the lines before: a line may be written twice, and others may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Ocsf,
    Text(Style),
}

impl Format {
    /// Appends `line`, each line of it with a newline at its end. `untruncated` is the bytes that it had before it was cut, where
    /// it was.
    ///
    /// # Errors
    /// When it cannot be written so, which no line of the contract's types can bring about.
    pub(super) fn write(
        self,
        line: &Line,
        untruncated: Option<usize>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        match self {
            Self::Json => json(line, buffer),
            Self::Ocsf => ocsf::events(line, untruncated)
                .iter()
                .try_for_each(|event| json(event, buffer)),
            Self::Text(style) => {
                let value = serde_json::to_value(line)?;
                buffer.extend_from_slice(text::line(&value, style).as_bytes());
                buffer.push(b'\n');
                Ok(())
            }
        }
    }
}

fn json(value: &impl Serialize, buffer: &mut Vec<u8>) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(&mut *buffer, OneLine))?;
    buffer.push(b'\n');
    Ok(())
}
