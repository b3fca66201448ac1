//! Times as flags name them.

use std::time::Duration;

use super::UsageError;

/// More is a slip of the hand.
const MOST: Duration = Duration::from_hours(24);

/// `30`, `30s`, `5m` or `1h`; at most a day.
///
/// # Errors
/// When it is none of these.
pub fn parse(flag: &'static str, value: &str) -> Result<Duration, UsageError> {
    let unit = |letter: char| value.strip_suffix(letter);
    let (number, seconds) = match (unit('s'), unit('m'), unit('h')) {
        (Some(number), _, _) => (number, 1),
        (_, Some(number), _) => (number, 60),
        (_, _, Some(number)) => (number, 60 * 60),
        _ => (value, 1),
    };
    // `parse` alone would take a sign.
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let count: Option<u64> = number.parse().ok().filter(|_| is_number);
    count
        .and_then(|count| count.checked_mul(seconds))
        .map(Duration::from_secs)
        .filter(|duration| *duration <= MOST)
        .ok_or_else(|| {
            let allowed = "seconds, or a number with `s`, `m` or `h`, up to 24h";
            UsageError::value(flag, value, allowed, "30s")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_seconds_minutes_and_hours() {
        for (value, seconds) in [
            ("0", Some(0)),
            ("30", Some(30)),
            ("30s", Some(30)),
            ("2m", Some(120)),
            ("24h", Some(86_400)),
            ("25h", None),
            ("", None),
            ("s", None),
            ("+1", None),
            ("1.5s", None),
            ("1d", None),
            ("99999999999999999999m", None),
        ] {
            let parsed = parse("--x", value).ok();
            assert_eq!(parsed, seconds.map(Duration::from_secs), "{value:?}");
        }
    }
}
