//! What a part of the benchmark found: tables, figures beside their goals, plots.

use std::fmt::Write as _;

/// One part of a run.
#[derive(Debug, Default)]
pub struct Section {
    /// As `--only` takes it.
    pub name: &'static str,
    pub title: &'static str,
    /// How it was measured, for one who wants to believe it.
    pub how: String,
    pub tables: Vec<Table>,
    pub figures: Vec<Figure>,
    pub plots: Vec<Plot>,
    pub notes: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// In columns, for a terminal; the first is text, the others are numbers.
    pub fn text(&self) -> String {
        let all = || std::iter::once(&self.header).chain(&self.rows);
        let columns = self.header.len();
        let width = |column: usize| {
            let widths = all().filter_map(|row| row.get(column));
            widths.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in all() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // write! to a String cannot fail.
                let _ = match column {
                    0 => write!(text, "  {cell:<width$}"),
                    _ => write!(text, "  {cell:>width$}"),
                };
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut text = line(&self.header);
        let marks = self.header.iter().enumerate();
        let marks: Vec<_> = marks
            .map(|(at, _)| if at == 0 { "---" } else { "---:" })
            .collect();
        let _ = writeln!(text, "| {} |", marks.join(" | "));
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }
}

/// A figure that has a goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    pub what: String,
    pub value: String,
    pub goal: String,
    /// None: it could not be measured.
    pub met: Option<bool>,
}

impl Figure {
    /// One that must be at most `goal`.
    pub fn at_most(what: &str, value: f64, goal: f64, unit: &str) -> Self {
        let number = |value: f64| with_unit(value, unit);
        Self {
            what: what.to_owned(),
            value: number(value),
            goal: format!("at most {}", number(goal)),
            met: value.is_finite().then_some(value <= goal),
        }
    }

    /// So many of so many.
    pub fn all(what: &str, good: u64, all: u64) -> Self {
        Self {
            what: what.to_owned(),
            value: format!("{good} of {all}"),
            goal: "all".to_owned(),
            met: (all > 0).then_some(good == all),
        }
    }

    pub fn unmeasured(what: &str, goal: &str, why: &str) -> Self {
        Self {
            what: what.to_owned(),
            value: format!("skipped: {why}"),
            goal: goal.to_owned(),
            met: None,
        }
    }

    pub fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "met",
            Some(false) => "missed",
            None => "not measured",
        }
    }
}

/// A picture beside `benchmarks.md`.
#[derive(Debug)]
pub struct Plot {
    /// File name.
    pub file: &'static str,
    /// What it shows, for one who cannot see it.
    pub about: &'static str,
    pub svg: String,
}

/// Three digits that say something, and the unit.
pub fn with_unit(value: f64, unit: &str) -> String {
    let blank = if unit.is_empty() { "" } else { " " };
    format!("{}{blank}{unit}", number(value))
}

/// Three digits that say something, whole numbers whole; `-` for what is no number.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    match value.abs() {
        whole if whole.fract() == 0.0 => grouped(value as i64),
        100.0.. => grouped(value.round() as i64),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// `1,234,567`.
fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0 { format!("-{text}") } else { text }
}

impl Section {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("\n{} ({})\n", self.title, self.name);
        for table in &self.tables {
            text.push_str(&table.text());
        }
        for note in &self.notes {
            let _ = writeln!(text, "  {note}");
        }
        for figure in &self.figures {
            let _ = writeln!(
                text,
                "  {}: {}  goal: {}  {}",
                figure.what,
                figure.value,
                figure.goal,
                figure.word()
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_say_something() {
        let shown = [
            0.0,
            7.0,
            0.1234,
            1.234,
            12.34,
            123.4,
            1_234_567.0,
            -1234.0,
            f64::NAN,
        ]
        .map(number);
        let expected = [
            "0",
            "7",
            "0.123",
            "1.23",
            "12.3",
            "123",
            "1,234,567",
            "-1,234",
            "-",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_figure_is_met_missed_or_not_measured() {
        let word = |value| Figure::at_most("x", value, 2.0, "ms").word();
        assert_eq!(
            [word(2.0), word(2.1), word(f64::NAN)],
            ["met", "missed", "not measured"]
        );
        assert_eq!(Figure::all("x", 9, 10).word(), "missed");
        assert_eq!(Figure::all("x", 0, 0).word(), "not measured");
    }

    #[test]
    fn a_table_lines_up_and_escapes() {
        let mut table = Table::new(["tool", "ns"]);
        table.row(["a|b".into(), "1,000".into()]);
        assert_eq!(table.text(), "  tool     ns\n  a|b   1,000\n");
        assert_eq!(
            table.markdown(),
            "| tool | ns |\n| --- | ---: |\n| a\\|b | 1,000 |\n"
        );
    }
}
