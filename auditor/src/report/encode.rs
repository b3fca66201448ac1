//! A line as bytes, under [`LINE_LIMIT`], whatever is in it.

use std::io;

use serde_json::ser::{CharEscape, Formatter};

use super::{cut, format::Format};
use crate::event::Line;

/// No line reaches this many bytes, its newline included: container runtimes split log lines here.
pub const LINE_LIMIT: usize = 16 * 1024;

/// Writes into the same buffer again and again.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    format: Format,
    buffer: Vec<u8>,
}

impl Encoder {
    pub fn new(format: Format) -> Self {
        Self {
            format,
            buffer: Vec::new(),
        }
    }

    /// Fills the buffer with `line` and a newline; cuts the line's long fields where it would reach the limit.
    ///
    /// # Errors
    /// When no cut makes it fit, which no line of the contract's types can bring about.
    pub fn encode(&mut self, line: &mut Line) -> io::Result<()> {
        if self.fits(line, None)? {
            return Ok(());
        }
        let untruncated = Some(self.buffer.len());
        let whole = line.body.clone();
        for caps in cut::LEVELS {
            line.body = whole.clone();
            cut::body(&mut line.body, caps);
            if self.fits(line, untruncated)? {
                return Ok(());
            }
        }
        self.buffer.clear();
        Err(io::Error::new(io::ErrorKind::InvalidData, "line too long"))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    fn fits(&mut self, line: &Line, untruncated: Option<usize>) -> io::Result<bool> {
        self.buffer.clear();
        self.format.write(line, untruncated, &mut self.buffer)?;
        let mut lines = self.buffer.split_inclusive(|byte| *byte == b'\n');
        Ok(lines.all(|line| line.len() < LINE_LIMIT))
    }
}

/// JSON without white space that also escapes what other programs take for a line's end, or a terminal for a command.
pub(super) struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(must_escape) {
            let (plain, from) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

/// All in the basic plane. What JSON must escape, serde_json escapes. With what turns the reading direction goes what nobody
/// sees: two names that differ must look different.
pub(crate) fn must_escape(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}'                       // DEL and the C1 controls: NEL, CSI
        | '\u{ad}' | '\u{180e}'                   // soft hyphen, Mongolian vowel separator
        | '\u{61c}'                               // Arabic letter mark
        | '\u{200b}'..='\u{200f}'                 // zero width spaces and joiners, directional marks
        | '\u{2028}'..='\u{202e}'                 // line and paragraph separators, directional overrides
        | '\u{2060}'..='\u{206f}'                 // word joiner, invisible operators, directional isolates
        | '\u{feff}'                              // zero width no-break space
        | '\u{fff9}'..='\u{fffb}') // interlinear annotations
}

/// Bytes that `s` takes between its quotes.
pub(super) fn escaped_len(s: &str) -> usize {
    s.chars().map(escaped_char_len).sum()
}

pub(super) fn escaped_char_len(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        c if must_escape(c) => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize as _;
    use serde_json::Serializer;

    use super::*;

    fn written(s: &str) -> String {
        let mut out = Vec::new();
        s.serialize(&mut Serializer::with_formatter(&mut out, OneLine))
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reader_that_splits_at_unicode_lines_sees_one() {
        assert_eq!(
            written("a\u{2028}b\u{85}c\u{9b}d\u{202e}e\u{7f}é"),
            r#""a\u2028b\u0085c\u009bd\u202ee\u007fé""#
        );
    }

    #[test]
    fn what_turns_the_text_or_is_not_seen_is_spelled_out() {
        assert_eq!(
            written("\u{61c}\u{200e}\u{200f}\u{feff}\u{200b}\u{200d}\u{2060}\u{ad}\u{2069}"),
            r#""\u061c\u200e\u200f\ufeff\u200b\u200d\u2060\u00ad\u2069""#
        );
    }

    proptest! {
        #[test]
        fn strings_come_back_and_their_length_is_known(s in any::<String>()) {
            let json = written(&s);
            prop_assert_eq!(json.len(), escaped_len(&s) + 2);
            prop_assert!(!json.contains(|c: char| c.is_control()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), s);
        }
    }
}
