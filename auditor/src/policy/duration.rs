//! `30d`: a whole number and a unit.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// What it means, in seconds.
const UNITS: [(char, i64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// As the schema has it: a whole number and a unit (s, m, h, d).
#[derive(JsonSchema)]
#[schemars(rename = "Duration", extend("pattern" = "^0*[1-9][0-9]*[smhd]$"))]
pub(super) struct Text(#[expect(dead_code, reason = "a type for the schema alone")] String);

/// At least a second.
fn parse(text: &str) -> Option<SignedDuration> {
    let (unit, seconds) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit))?;
    let number = text.strip_suffix(unit)?;
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<i64>().ok()?.checked_mul(seconds)?;
    (seconds > 0).then_some(SignedDuration::from_secs(seconds))
}

/// A key without a value has its default.
pub(super) fn or_default<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SignedDuration, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(super::rules::default_unused_after());
    };
    read(&text)
}

pub(super) fn required<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SignedDuration, D::Error> {
    read(&String::deserialize(deserializer)?)
}

fn read<E: serde::de::Error>(text: &str) -> Result<SignedDuration, E> {
    parse(text).ok_or_else(|| {
        E::custom(format!(
            "`{text}` is not a time span; write a number and a unit (s, m, h, d), as in 30d"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in [
            ("1s", Some(1)),
            ("90m", Some(5400)),
            ("12h", Some(43_200)),
            ("30d", Some(2_592_000)),
            ("0s", None),
            ("30", None),
            ("d", None),
            ("-1d", None),
            ("+1d", None),
            ("1.5h", None),
            ("1w", None),
            ("1 d", None),
            ("1h30m", None),
            ("", None),
            ("9223372036854775807d", None),
            ("99999999999999999999s", None),
            ("\u{663}d", None),
        ] {
            let expected = seconds.map(SignedDuration::from_secs);
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
