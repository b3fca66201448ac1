//! What becomes of each line: text on the screen, a note, or nothing.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    Filter,
    notes::Notes,
    read::{self, Trouble},
    runs::Runs,
};
use crate::text::{self, Style, Times};

/// Where text goes.
pub trait Sink {
    /// Stdout. `ruler`: the line that begins the day, where it is to stand above the first line of each.
    fn line(&mut self, ruler: Option<&str>, line: String);
    /// Stderr, behind the lines before it.
    fn note(&mut self, note: &str);
}

pub struct View {
    filter: Filter,
    runs: Runs,
    notes: Notes,
    pub style: Style,
}

impl View {
    /// `input`: its name, for notes.
    pub fn new(filter: Filter, input: String) -> Self {
        Self {
            filter,
            runs: Runs::default(),
            notes: Notes::new(input),
            style: Style::default(),
        }
    }

    /// The line with this number, counted from 1.
    pub fn take(&mut self, number: u64, line: Result<&[u8], Trouble>, sink: &mut impl Sink) {
        if line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
            return;
        }
        match line.and_then(read::event) {
            Ok(event) => {
                self.notes.flush(sink);
                self.show(&event, sink);
            }
            Err(trouble) => self.notes.take(number, &trouble, sink),
        }
    }

    fn show(&mut self, event: &Value, sink: &mut impl Sink) {
        let hole = self.runs.take(event);
        let time = event.get("time").and_then(Value::as_str);
        // A hole could have held what is looked for.
        let hole = hole.filter(|_| self.filter.is_recent(event));
        let is_wanted = self.filter.wants(event);
        let ruler = self.ruler(time);
        if let Some(hole) = hole {
            let remark = text::remark(time, "GAP", &hole.to_string(), self.style);
            sink.line(ruler.as_deref(), remark);
        }
        if is_wanted {
            sink.line(ruler.as_deref(), text::line(event, self.style));
        }
    }

    /// Where lines tell the time of day only, a new day has a line of its own.
    fn ruler(&self, time: Option<&str>) -> Option<String> {
        let time: Timestamp = time
            .filter(|_| self.style.times == Times::OfDay)?
            .parse()
            .ok()?;
        // RFC 3339 begins with the date.
        let mut day = time.to_string();
        day.truncate("2026-11-22".len());
        Some(text::day(&day, self.style))
    }

    /// The file is another one from here on, or was emptied: its lines are counted anew.
    pub fn begin_anew(&mut self, why: &str, sink: &mut impl Sink) {
        self.notes.flush(sink);
        self.notes.say(why, sink);
    }

    pub fn say(&mut self, what: &str, sink: &mut impl Sink) {
        self.notes.say(what, sink);
    }

    /// Nothing more comes for now: what was only counted is told.
    pub fn pause(&mut self, sink: &mut impl Sink) {
        self.notes.flush(sink);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Both(Vec<String>);

    impl Sink for Both {
        fn line(&mut self, ruler: Option<&str>, line: String) {
            self.0.extend(ruler.map(str::to_owned));
            self.0.push(line);
        }
        fn note(&mut self, note: &str) {
            self.0.push(format!("note: {note}"));
        }
    }

    fn health(seq: u64, time: &str) -> String {
        format!(
            r#"{{"schema":"auditor/v1","event":"health","run_id":"r","seq":{seq},"time":"{time}","component":"sink","state":"ok","message":"m{seq}"}}"#
        )
    }

    fn shown(filter: Filter, style: Style, lines: &[&str]) -> Vec<String> {
        let mut view = View::new(filter, "x.jsonl".to_owned());
        view.style = style;
        let mut both = Both::default();
        for (number, line) in (1..).zip(lines) {
            view.take(number, Ok(line.as_bytes()), &mut both);
        }
        view.pause(&mut both);
        both.0
    }

    #[test]
    fn what_is_no_event_is_told_once_a_stretch_and_stops_nothing() {
        let good = health(0, "2026-11-22T12:00:00Z");
        let torn = &good[..50];
        let lines = [
            "",
            "rubbish\x1b[2J",
            "more",
            "and more",
            &good,
            torn,
            "x",
            &good.replace("v1", "v9"),
        ];
        let all = shown(Filter::default(), Style::default(), &lines);
        let starts = [
            "note: auditor: x.jsonl:2: skipped: not JSON: expected value at column 1",
            "note: auditor: x.jsonl:3-4: skipped: 2 more, not JSON",
            "2026-11-22T12:00:00.000Z ok",
            "note: auditor: x.jsonl:6: skipped: torn",
            "note: auditor: x.jsonl:7: skipped: not JSON",
            "note: auditor: x.jsonl:8: skipped: of another version: its schema is \"auditor/v9\"",
        ];
        assert_eq!(all.len(), starts.len(), "{all:#?}");
        for (line, start) in all.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn a_gap_is_pointed_out_whatever_is_looked_for() {
        let [a, b] = [
            health(3, "2026-11-22T12:00:00Z"),
            health(7, "2026-11-22T12:00:01Z"),
        ];
        let filter = Filter {
            verdicts: vec!["violation".to_owned()],
            ..Filter::default()
        };
        let all = shown(filter, Style::default(), &[&a, &b]);
        assert_eq!(
            all,
            [
                "2026-11-22T12:00:01.000Z GAP          3 lines are missing here, before seq 7 of run r"
            ]
        );
        let later = Filter {
            since: Some("2026-11-22T13:00:00Z".parse().unwrap()),
            ..Filter::default()
        };
        assert!(shown(later, Style::default(), &[&a, &b]).is_empty());
    }

    #[test]
    fn each_line_tells_its_day_where_its_time_does_not() {
        let style = Style {
            times: Times::OfDay,
            ..Style::default()
        };
        let lines = [
            health(0, "2026-11-22T23:59:59.999Z"),
            health(1, "2026-11-22T23:59:59.999Z"),
            health(2, "2026-11-23T00:00:00Z"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let all = shown(Filter::default(), style, &lines);
        let [first, second] = ["-- 2026-11-22, UTC --", "-- 2026-11-23, UTC --"];
        let rulers: Vec<_> = all.iter().step_by(2).map(String::as_str).collect();
        assert_eq!(rulers, [first, first, second]);
        assert!(all[5].starts_with("00:00:00.000 ok"), "{all:?}");
    }
}
