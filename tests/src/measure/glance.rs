//! A line's first fields, without parsing the line: `seq`, `time`, `event` and `verdict` stand before everything else.

/// How far into a line they may stand.
const NEAR: usize = 1024;
const DAY: u64 = 86_400;

#[derive(Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    pub event: &'a str,
    pub verdict: &'a str,
    pub seq: Option<u64>,
    /// ns since 1970.
    pub time: Option<u64>,
}

impl<'a> Glance<'a> {
    pub fn at(line: &'a [u8]) -> Self {
        let near = line.get(..NEAR.min(line.len())).unwrap_or_default();
        let seq = after(near, b"\"seq\":");
        let event = text(near, b"\"event\":\"").unwrap_or_default();
        Self {
            event,
            verdict: text(near, b"\"verdict\":\"").unwrap_or_default(),
            seq: seq.and_then(|rest| {
                let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
                std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
            }),
            time: text(near, b"\"time\":\"").and_then(nanoseconds),
        }
    }
}

/// That of the pod whose doing it was: it stands anywhere in the line.
pub fn service_account(line: &[u8]) -> Option<&str> {
    let pod = after(line, b"\"pod\":{")?;
    text(pod, b"\"service_account\":\"")
}

fn after<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = line.windows(key.len()).position(|window| window == key)?;
    line.get(at + key.len()..)
}

fn text<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a str> {
    let rest = after(line, key)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// `2026-11-22T19:06:07.133903569Z`.
fn nanoseconds(time: &str) -> Option<u64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.splitn(3, ':').map(str::parse::<u64>);
    let (hour, minute, second) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    // Days from civil, Howard Hinnant: years begin in March, so that the day of a leap year is the last.
    let (shifted, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = days.checked_sub(719_468)?;
    Some(((days * DAY) + hour * 3_600 + minute * 60 + second) * 1_000_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_the_first_fields() {
        let line = br#"{"schema":"auditor/v1","id":"a","run_id":"b","seq":812,"time":"2026-11-22T19:06:07.133903569Z","event":"token_open","verdict":"allowed","x":1}"#;
        assert_eq!(
            Glance::at(line),
            Glance {
                event: "token_open",
                verdict: "allowed",
                seq: Some(812),
                time: Some(1_795_374_367_133_903_569),
            }
        );
        let nothing = Glance::at(b"{}");
        assert_eq!((nothing.event, nothing.seq, nothing.time), ("", None, None));
    }

    #[test]
    fn sees_whose_pod_it_was() {
        let line = br#"{"pod":{"namespace":"soak","service_account":"noisy"},"token":{"owner":{"service_account":"other"}}}"#;
        assert_eq!(service_account(line), Some("noisy"));
        let without = br#"{"pod":null,"token":{"owner":{"service_account":"other"}}}"#;
        assert_eq!(service_account(without), None);
    }

    #[test]
    fn times_are_those_of_jiff() {
        for time in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.5Z",
            "2026-12-31T00:00:00.000000001Z",
            "2100-03-01T12:00:00Z",
        ] {
            let jiff: jiff::Timestamp = time.parse().unwrap();
            assert_eq!(
                nanoseconds(time).map(i128::from),
                Some(jiff.as_nanosecond()),
                "{time}"
            );
        }
        assert_eq!(nanoseconds("yesterday"), None);
    }
}
