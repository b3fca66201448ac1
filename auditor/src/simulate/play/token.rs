//! Tokens are opened and closed; no byte is read or written.

use std::{
    fs::{File, OpenOptions},
    path::Path,
};

use crate::simulate::Refusal;

pub fn open(token: &Path) -> Result<(), Refusal> {
    closed(token, File::open(token))
}

/// Without truncating.
pub fn open_for_writing(token: &Path) -> Result<(), Refusal> {
    closed(token, OpenOptions::new().write(true).open(token))
}

fn closed(token: &Path, opened: std::io::Result<File>) -> Result<(), Refusal> {
    opened.map(drop).map_err(|source| Refusal::Open {
        path: token.to_owned(),
        source,
    })
}
