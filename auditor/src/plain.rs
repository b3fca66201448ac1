//! Text for people. Paths, names and servers' words may hold anything: nothing of them may move a cursor, colour what
//! follows, turn the reading direction, or pass for a line of its own.

use std::io::{self, Write};

use crate::report::must_escape;

/// A terminal or a reader takes it for something else than a character.
pub(crate) fn is_command(c: char) -> bool {
    c.is_control() || must_escape(c)
}

/// The text on one line, commands written as Rust writes them: `\n`, `\u{1b}`.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut out, c);
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' | '\r' | '\t' => out.extend(c.escape_default()),
        c if is_command(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// JSON text with the commands that JSON itself allows in strings escaped; they stand nowhere else in it.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if must_escape(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Writes each entry of a log, which comes in one piece, as one line.
pub(crate) struct Entries<W> {
    pub to: W,
    /// The logger colours its entries: what only colours goes through.
    pub coloured: bool,
}

impl<W: Write> Write for Entries<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(entry);
        let (text, end) = match text.strip_suffix('\n') {
            Some(text) => (text, "\n"),
            None => (&*text, ""),
        };
        let mut out = String::with_capacity(text.len() + 1);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let len = if self.coloured { colour(rest) } else { None };
            let (piece, after) = rest.split_at(len.unwrap_or(c.len_utf8()));
            if len.is_some() {
                out.push_str(piece);
            } else {
                push(&mut out, c);
            }
            rest = after;
        }
        out.push_str(end);
        self.to.write_all(out.as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Length of the colour (`ESC [ numbers m`, ECMA-48 SGR) that `text` begins with.
fn colour(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\x1b[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    numbers.get(end..)?.starts_with('m').then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\nERROR forged\x1b[2J\u{9b}1A\u{202e}é\x07\t";

    fn entry(text: &str, coloured: bool) -> String {
        let mut log = Entries {
            to: Vec::new(),
            coloured,
        };
        log.write_all(text.as_bytes()).unwrap();
        String::from_utf8(log.to).unwrap()
    }

    #[test]
    fn nothing_of_it_is_a_command() {
        let plain = r"a\nERROR forged\u{1b}[2J\u{9b}1A\u{202e}é\u{7}\t";
        assert_eq!(one_line(HOSTILE), plain);
        for coloured in [false, true] {
            assert_eq!(
                entry(&format!("{HOSTILE}\n"), coloured),
                format!("{plain}\n")
            );
        }
    }

    #[test]
    fn the_loggers_own_colours_stay() {
        let text = "\x1b[32m INFO\x1b[0m \x1b[1;31mx\x1b[31";
        assert_eq!(
            entry(text, true),
            "\x1b[32m INFO\x1b[0m \x1b[1;31mx\\u{1b}[31"
        );
        assert!(!entry(text, false).contains('\x1b'));
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"a": HOSTILE, "b\u{2028}": ["\u{feff}"]});
        let text = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!text.chars().any(|c| c != '\n' && is_command(c)), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
