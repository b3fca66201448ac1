//! Numbers as people read them.

/// `1,234,567`
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `90 µs`, `1.2 ms`, `3.4 s`, `2 min 3 s`, `5 h 6 min`, `7 d 8 h`.
#[must_use]
pub fn duration(microseconds: u64) -> String {
    let seconds = microseconds / 1_000_000;
    let two = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        small => format!("{big} {unit} {small} {small_unit}"),
    };
    // Cut, not rounded: 999.96 ms is no 1000 ms.
    let tenths = |value: u64, unit: &str| format!("{}.{} {unit}", value / 10, value % 10);
    match seconds {
        0 if microseconds < 1_000 => format!("{microseconds} µs"),
        0 => tenths(microseconds / 100, "ms"),
        1..60 => tenths(microseconds / 100_000, "s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `17 B`, `1.2 KiB`, …
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let power = (number.ilog2() / 10) as usize;
    let unit = UNITS.get(power - 1).copied().unwrap_or("EiB");
    let shift = 10 * power;
    let whole = number >> shift;
    let tenth = ((number >> (shift - 10)) & 0x3ff) * 10 / 1024;
    format!("{whole}.{tenth} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        for (number, want) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (123_456, "123,456"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(number), want);
        }
    }

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (microseconds, want) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.0 ms"),
            (999_999, "999.9 ms"),
            (1_500_000, "1.5 s"),
            (59_999_999, "59.9 s"),
            (60_000_000, "1 min"),
            (123_000_000, "2 min 3 s"),
            (3_600_000_000, "1 h"),
            (90_000_000_000, "1 d 1 h"),
            (u64::MAX, "213503982 d 8 h"),
        ] {
            assert_eq!(duration(microseconds), want);
        }
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (number, want) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_247, "1.2 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes(number), want);
        }
    }
}
