//! `docs/tail.svg`: what `auditor tail` prints on a terminal of `docs/samples/stream.jsonl`, drawn as it came.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};

use crate::{apt, process};

const COLUMNS: usize = 150;
const SHOWN: &str =
    "auditor tail --verdict violation,suspicious --lines 16 docs/samples/stream.jsonl";
/// Of one character, and from one line to the next, in pixels.
const CELL: (f64, f64) = (7.2, 17.0);
const MARGIN: f64 = 16.0;
const BACKGROUND: &str = "#14181f";
const FOREGROUND: &str = "#c9d1d9";

pub fn path() -> PathBuf {
    process::workspace().join("docs/tail.svg")
}

/// # Errors
/// When the auditor cannot be run on a terminal, or says nothing.
pub fn draw(auditor: &Path) -> Result<String> {
    let printed = on_a_terminal(auditor)?;
    let lines: Vec<&str> = printed
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    ensure!(lines.len() > 5, "`{SHOWN}` printed {} lines", lines.len());
    Ok(svg(SHOWN, &lines))
}

/// What it prints where a person sits: with colours, cut to the width.
fn on_a_terminal(auditor: &Path) -> Result<String> {
    apt::ensure_program("script", "bsdutils", "makes the picture's terminal")?;
    let arguments = SHOWN.strip_prefix("auditor ").unwrap_or(SHOWN);
    let typed = format!("stty cols {COLUMNS}; exec \"$AUDITOR\" {arguments}");
    let mut script = Command::new("script");
    script
        .args(["-qec", &typed, "/dev/null"])
        .current_dir(process::workspace())
        .env("AUDITOR", auditor)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        script.env_remove(name);
    }
    process::capture(&mut script)
}

/// A terminal's window: the command as typed, then the lines, with their colours (SGR).
fn svg(command: &str, lines: &[&str]) -> String {
    let width = COLUMNS as f64 * CELL.0 + 2.0 * MARGIN;
    let height = (lines.len() + 2) as f64 * CELL.1 + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"{}\">\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n\
         <g font-family=\"ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"12\" \
         fill=\"{FOREGROUND}\" xml:space=\"preserve\">\n",
        escaped(command)
    );
    let typed = format!("\u{1b}[32m$\u{1b}[0m \u{1b}[1m{command}\u{1b}[0m");
    let rows = [typed.as_str(), ""]
        .into_iter()
        .chain(lines.iter().copied());
    for (at, row) in rows.enumerate() {
        let y = MARGIN + (at + 1) as f64 * CELL.1 - 5.0;
        for (column, style, text) in spans(row) {
            // Each has its own place, so that fonts of another width keep the columns.
            let x = MARGIN + column as f64 * CELL.0;
            let length = text.chars().count() as f64 * CELL.0;
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\"{}>{}</text>",
                style.attributes(),
                escaped(&text)
            );
        }
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Style {
    colour: Option<&'static str>,
    bold: bool,
    dim: bool,
}

impl Style {
    fn take(&mut self, code: &str) {
        match code {
            "" | "0" => *self = Self::default(),
            "1" => self.bold = true,
            "2" => self.dim = true,
            "31" => self.colour = Some("#ff7b72"),
            "32" => self.colour = Some("#7ee787"),
            "33" => self.colour = Some("#e3b341"),
            "34" => self.colour = Some("#79c0ff"),
            "35" => self.colour = Some("#d2a8ff"),
            "36" => self.colour = Some("#76e3ea"),
            _ => {}
        }
    }

    fn attributes(self) -> String {
        let mut attributes = String::new();
        if let Some(colour) = self.colour {
            let _ = write!(attributes, " fill=\"{colour}\"");
        }
        if self.bold {
            attributes.push_str(" font-weight=\"bold\"");
        }
        if self.dim {
            attributes.push_str(" opacity=\"0.65\"");
        }
        attributes
    }
}

/// Runs of characters other than spaces at the ends, each with its column and style.
fn spans(row: &str) -> Vec<(usize, Style, String)> {
    let mut spans = Vec::new();
    let (mut column, mut style) = (0, Style::default());
    let mut parts = row.split('\u{1b}');
    let first = parts.next().unwrap_or_default();
    let styled = parts.map(
        |part| match part.strip_prefix('[').and_then(|p| p.split_once('m')) {
            Some((codes, text)) => (Some(codes), text),
            None => (None, part),
        },
    );
    for (codes, text) in std::iter::once((None, first)).chain(styled) {
        for code in codes.into_iter().flat_map(|codes| codes.split(';')) {
            style.take(code);
        }
        let indent = text.chars().take_while(|c| *c == ' ').count();
        if !text.trim().is_empty() {
            spans.push((column + indent, style, text.trim().to_owned()));
        }
        column += text.chars().count();
    }
    spans
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_columns_are_those_of_the_terminal() {
        let red = Style {
            colour: Some("#ff7b72"),
            bold: true,
            dim: false,
        };
        assert_eq!(
            spans("12:00 \u{1b}[1;31mVIOLATION\u{1b}[0m    open  "),
            [
                (0, Style::default(), "12:00".to_owned()),
                (6, red, "VIOLATION".to_owned()),
                (19, Style::default(), "open".to_owned()),
            ]
        );
        assert!(spans("   ").is_empty());
    }

    #[test]
    fn what_is_printed_is_text_in_the_picture() {
        let svg = svg("a <b>", &["x & y"]);
        assert!(svg.contains(">a &lt;b&gt;</text>"), "{svg}");
        assert!(svg.contains(">x &amp; y</text>"), "{svg}");
        assert_eq!(svg.matches("<text").count(), 3);
    }
}
