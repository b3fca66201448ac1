//! A line in the making: pieces of text, each with its colour.

use unicode_width::UnicodeWidthChar;

use super::Style;
use crate::plain::is_command;

/// Columns that one field may take: a path has 4,096 characters, and may not push everything else away.
const FIELD: usize = 1024;

/// What a piece means; how that looks is said in [`Paint::code`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    /// Details.
    Dim,
    /// Who it is about.
    Name,
    Good,
    Medium,
    Unclear,
    Bad,
}

impl Paint {
    /// ECMA-48 SGR parameters; none for text as it is. Of the eight basic colours, which every theme makes readable.
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Dim => Some("2"),
            Self::Name => Some("1"),
            Self::Good => Some("32"),
            Self::Medium => Some("33"),
            Self::Unclear => Some("35"),
            Self::Bad => Some("1;31"),
        }
    }
}

/// Whatever is pushed into it is harmless afterwards.
#[derive(Debug, Default)]
pub(super) struct Row {
    pieces: Vec<(Paint, String)>,
    width: usize,
    /// Where the columns are counted from.
    origin: usize,
}

impl Row {
    /// Adds `text`: what would control a terminal, take no room or begin a line is written as Rust writes it (`\u{1b}`), and
    /// what is too long ends in `…`.
    pub fn push(&mut self, paint: Paint, text: &str) {
        let mut out = String::with_capacity(text.len());
        let mut left = FIELD;
        for c in text.chars() {
            let escaped;
            let mut raw = [0; 4];
            let (shown, width): (&str, usize) = match columns(c) {
                Some(width) => (c.encode_utf8(&mut raw), width),
                None => {
                    escaped = escape(c);
                    (&escaped, escaped.len())
                }
            };
            // The last column is the mark's.
            if width >= left {
                out.push('…');
                left -= 1;
                break;
            }
            out.push_str(shown);
            left -= width;
        }
        self.width += FIELD - left;
        if !out.is_empty() {
            self.pieces.push((paint, out));
        }
    }

    /// The same behind a space.
    pub fn word(&mut self, paint: Paint, text: &str) {
        if !text.is_empty() {
            self.gap();
            self.push(paint, text);
        }
    }

    pub fn begin_columns(&mut self) {
        self.origin = self.width;
    }

    /// Goes to that column; where the text is there already, one space on.
    pub fn column(&mut self, column: usize) {
        let missing = (self.origin + column).saturating_sub(self.width);
        if missing > 0 {
            self.pieces.push((Paint::Plain, " ".repeat(missing)));
            self.width += missing;
        } else if column > 0 {
            self.gap();
        }
    }

    /// No two of them, and none at the start.
    fn gap(&mut self) {
        let is_open = self
            .pieces
            .last()
            .is_some_and(|(_, text)| !text.ends_with(' '));
        if is_open {
            self.push(Paint::Plain, " ");
        }
    }

    /// The line, cut where it is wider than `style` allows.
    pub fn finish(self, style: Style) -> String {
        let room = style.width.filter(|room| *room < self.width);
        let mut left = room.map(|room| room.saturating_sub(1));
        let mut line = String::new();
        for (paint, text) in &self.pieces {
            let text = match &mut left {
                None => text,
                Some(0) => break,
                Some(left) => take(text, left),
            };
            match paint.code().filter(|_| style.painted) {
                Some(code) => line.extend(["\x1b[", code, "m", text, "\x1b[0m"]),
                None => line.push_str(text),
            }
        }
        if room.is_some_and(|room| room > 0) {
            line.push('…');
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// As much of `text` as fits; `left` is 0 where that is not all.
fn take<'a>(text: &'a str, left: &mut usize) -> &'a str {
    for (at, c) in text.char_indices() {
        let width = columns(c).unwrap_or(1);
        if width > *left {
            *left = 0;
            return text.get(..at).unwrap_or_default();
        }
        *left -= width;
    }
    text
}

/// What a terminal gives it; none for what is no character to it: commands, and what takes no room, which would hide.
fn columns(c: char) -> Option<usize> {
    if is_command(c) {
        return None;
    }
    c.width().filter(|width| *width > 0)
}

fn escape(c: char) -> String {
    match c {
        '\n' | '\r' | '\t' => c.escape_default().to_string(),
        c => c.escape_unicode().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_width::UnicodeWidthStr;

    use super::*;

    const PAINTED: Style = Style {
        painted: true,
        width: None,
        times: super::super::Times::Whole,
        ids: false,
    };

    fn one(text: &str) -> Row {
        let mut row = Row::default();
        row.push(Paint::Plain, text);
        row
    }

    #[test]
    fn commands_and_what_hides_are_written_out() {
        for (text, want) in [
            ("a\x1b[2J", r"a\u{1b}[2J"),
            ("a\nb\rc\td", r"a\nb\rc\td"),
            ("\u{9b}1A", r"\u{9b}1A"),
            ("x\u{202e}y", r"x\u{202e}y"),
            ("ze\u{200b}ro", r"ze\u{200b}ro"),
            ("e\u{301}", r"e\u{301}"),
            ("é 日本", "é 日本"),
        ] {
            assert_eq!(one(text).finish(Style::default()), want);
        }
    }

    #[test]
    fn columns_hold_and_what_is_too_long_pushes_on() {
        let mut row = one("日本");
        row.begin_columns();
        row.column(2);
        row.push(Paint::Plain, "abc");
        row.column(4);
        row.push(Paint::Plain, "d");
        row.column(12);
        row.word(Paint::Plain, "e");
        assert_eq!(row.finish(Style::default()), "日本  abc d     e");
    }

    #[test]
    fn a_field_that_is_too_long_ends_in_a_mark() {
        let text = one(&"x".repeat(FIELD + 1)).finish(Style::default());
        assert_eq!(text, "x".repeat(FIELD - 1) + "…");
        let whole = "x".repeat(FIELD - 1);
        assert_eq!(one(&whole).finish(Style::default()), whole);
    }

    #[test]
    fn only_pieces_are_painted_and_a_cut_leaves_no_colour_open() {
        let mut row = one("plain ");
        row.push(Paint::Bad, "VIOLATION");
        let style = Style {
            width: Some(10),
            ..PAINTED
        };
        assert_eq!(row.finish(style), "plain \x1b[1;31mVIO\x1b[0m…");
    }

    proptest! {
        #[test]
        fn whatever_is_pushed_fits_the_width_and_commands_nothing(
            texts in proptest::collection::vec(any::<String>(), 0..6),
            width in 0_usize..100,
        ) {
            let mut row = Row::default();
            for text in &texts {
                row.word(Paint::Dim, text);
                row.column(20);
            }
            let style = Style { width: Some(width), ..Style::default() };
            let line = row.finish(style);
            prop_assert!(!line.chars().any(is_command), "{line:?}");
            let shown: usize = line.chars().map(|c| c.width().unwrap_or(9)).sum();
            prop_assert!(shown <= width, "{shown} > {width}: {line:?}");
        }
    }

    #[test]
    fn widths_are_those_of_a_terminal() {
        assert_eq!("日本".width(), 4);
    }
}
