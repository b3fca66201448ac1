//! `auditor policy check`: every error, and what is allowed and was probably not meant.

use jiff::Timestamp;

use super::{
    Policy,
    document::{Document, Step},
    doubts::doubts,
    parse::{PolicyError, parse_part},
};

/// Something to say of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// Line and column, from 1.
    pub position: Option<(u64, u64)>,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// With any of them the policy is refused.
    pub errors: Vec<Remark>,
    pub warnings: Vec<Remark>,
}

/// More are not worth reading.
const ERRORS: usize = 100;
/// Of a policy with more parts only the first error is told: each part costs a reading.
const PARTS: usize = 4096;

/// What is to say of it at `now`: exemptions end.
#[must_use]
pub fn check(bytes: &[u8], now: Timestamp) -> Report {
    let document = std::str::from_utf8(bytes).ok().and_then(Document::parse);
    match Policy::parse(bytes) {
        Ok(policy) => {
            let at = |path: &[Step<'_>]| {
                let node = document.as_ref()?.at(path)?;
                Some(node.position)
            };
            let mut warnings = doubts(&policy, now, at);
            warnings.sort();
            Report {
                errors: Vec::new(),
                warnings,
            }
        }
        Err(first) => Report {
            errors: errors(first, document.as_ref()),
            warnings: Vec::new(),
        },
    }
}

/// The first, and those of each part alone.
fn errors(first: PolicyError, document: Option<&Document>) -> Vec<Remark> {
    let mut errors = vec![remark(first)];
    let parts = document.map_or_else(Vec::new, Document::parts);
    if let Some(document) = document.filter(|_| parts.len() <= PARTS) {
        for (path, start) in parts {
            if errors.len() >= ERRORS {
                break;
            }
            let text = document.only(&path);
            let Err(error) = parse_part(text.as_bytes(), start) else {
                continue;
            };
            let remark = remark(error);
            if !errors.iter().any(|known| known.position == remark.position) {
                errors.push(remark);
            }
        }
    }
    errors.sort();
    errors
}

fn remark(error: PolicyError) -> Remark {
    let mut message = error.message;
    if let Some((line, column)) = error.position {
        // It stands before the message.
        for at in [
            format!(" at line {line}, column {column}"),
            format!("line {line} column {column}: "),
        ] {
            message = message.replace(&at, "");
        }
    }
    Remark {
        position: error.position,
        message: message.lines().next().unwrap_or_default().trim().to_owned(),
    }
}

#[cfg(test)]
mod tests;
