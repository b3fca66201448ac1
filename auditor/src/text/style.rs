//! How text looks: colours, width, times.

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal as _},
};

use clap::ValueEnum;
use jiff::{Timestamp, tz::TimeZone};

/// Whether to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal; $NO_COLOR and $CLICOLOR_FORCE are heeded
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// The flag, then <https://no-color.org>, then `CLICOLOR_FORCE` and `CLICOLOR` (<https://bixense.com/clicolors/>), then
    /// whether it is a terminal that knows colours.
    fn is_painted(self, variable: impl Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let is_zero = |name: &str| given(name).is_some_and(|value| value == "0");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if given("NO_COLOR").is_some() => false,
            Self::Auto if given("CLICOLOR_FORCE").is_some() => !is_zero("CLICOLOR_FORCE"),
            Self::Auto => {
                let is_dumb = given("TERM").is_some_and(|term| term == "dumb");
                is_terminal && !is_dumb && !is_zero("CLICOLOR")
            }
        }
    }
}

/// How times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// `2026-11-22T12:00:00.123Z`
    #[default]
    Whole,
    /// `12:00:00.123`, UTC
    OfDay,
}

impl Times {
    /// `time` as the events write it; question marks where it is none.
    pub(super) fn show(self, time: Option<&str>) -> String {
        let zoned = time
            .and_then(|time| time.parse::<Timestamp>().ok())
            .map(|time| time.to_zoned(TimeZone::UTC));
        match (self, zoned) {
            (Self::Whole, Some(time)) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            (Self::OfDay, Some(time)) => time.strftime("%H:%M:%S%.3f").to_string(),
            (Self::Whole, None) => "????-??-??T??:??:??.???Z".to_owned(),
            (Self::OfDay, None) => "??:??:??.???".to_owned(),
        }
    }
}

/// The default is for files and pipes: no colours, no limit, whole times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub painted: bool,
    /// Columns of the terminal; longer lines are cut.
    pub width: Option<usize>,
    pub times: Times,
    /// Ends each line with the event's id.
    pub ids: bool,
}

impl Style {
    /// What fits stdout as it is now.
    #[must_use]
    pub fn of_stdout(color: ColorChoice) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            painted: color.is_painted(|name| env::var_os(name), is_terminal),
            width: is_terminal.then(terminal_width).flatten(),
            times: if is_terminal {
                Times::OfDay
            } else {
                Times::Whole
            },
            ids: false,
        }
    }
}

/// None where the terminal does not tell: serial consoles say 0.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_decides_on_colours() {
        use ColorChoice::{Always, Auto, Never};
        const ALL: &[(&str, &str)] = &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")];
        for (choice, variables, is_terminal, want) in [
            (Auto, &[][..], true, true),
            (Auto, &[], false, false),
            (Always, ALL, false, true),
            (Never, ALL, true, false),
            (Auto, ALL, true, false),
            (Auto, &[("NO_COLOR", "0")], true, false),
            (Auto, &[("NO_COLOR", "")], true, true),
            (Auto, &[("CLICOLOR_FORCE", "1")], false, true),
            (Auto, &[("CLICOLOR_FORCE", "0")], true, false),
            (Auto, &[("CLICOLOR", "0")], true, false),
            (Auto, &[("CLICOLOR", "1")], false, false),
            (Auto, &[("TERM", "dumb")], true, false),
            (Auto, &[("TERM", "xterm")], true, true),
        ] {
            let variable = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let painted = choice.is_painted(variable, is_terminal);
            assert_eq!(painted, want, "{choice:?} {variables:?} {is_terminal}");
        }
    }

    #[test]
    fn times_are_cut_to_milliseconds() {
        let time = Some("2026-11-22T12:00:00.123999789Z");
        assert_eq!(Times::Whole.show(time), "2026-11-22T12:00:00.123Z");
        assert_eq!(Times::OfDay.show(time), "12:00:00.123");
        assert_eq!(Times::OfDay.show(Some("soon")), "??:??:??.???");
        let elsewhere = Some("2026-11-22T13:00:00+01:00");
        assert_eq!(Times::OfDay.show(elsewhere), "12:00:00.000");
    }
}
