//! Bytes into lines, none of which takes more memory than a line may.

use super::read::Trouble;
use crate::report::LINE_LIMIT;

#[derive(Debug, Default)]
pub struct Splitter {
    /// Of the line that has no end yet.
    partial: Vec<u8>,
    /// Lines that have ended.
    number: u64,
    /// The line that has no end yet is too long already.
    is_too_long: bool,
}

impl Splitter {
    /// Calls `each` with the number (from 1) and bytes of every line that ends in `chunk`, without its newline.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(u64, Result<&[u8], Trouble>)) {
        let mut rest = chunk;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            self.number += 1;
            if self.is_too_long || self.partial.len() + line.len() >= LINE_LIMIT {
                each(self.number, Err(Trouble::TooLong));
            } else if self.partial.is_empty() {
                each(self.number, Ok(line));
            } else {
                self.partial.extend_from_slice(line);
                each(self.number, Ok(&self.partial));
            }
            self.partial.clear();
            self.is_too_long = false;
        }
        if self.is_too_long || self.partial.len() + rest.len() >= LINE_LIMIT {
            self.is_too_long = true;
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(rest);
        }
    }

    /// Nothing more comes: the last line may have no end.
    pub fn end(&mut self, mut each: impl FnMut(u64, Result<&[u8], Trouble>)) {
        if self.is_too_long {
            each(self.number + 1, Err(Trouble::TooLong));
        } else if !self.partial.is_empty() {
            each(self.number + 1, Ok(&self.partial));
        }
        self.partial.clear();
        self.is_too_long = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines, `None` for one that is too long.
    fn split(chunks: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
        let (mut splitter, mut lines) = (Splitter::default(), Vec::new());
        let mut take = |number, line: Result<&[u8], Trouble>| {
            lines.push((number, line.ok().map(<[u8]>::to_vec)));
        };
        for chunk in chunks {
            splitter.feed(chunk, &mut take);
            assert!(splitter.partial.capacity() <= 2 * LINE_LIMIT);
        }
        splitter.end(take);
        lines
    }

    #[test]
    fn what_is_too_long_is_told_once_and_the_next_line_is_whole() {
        let long = vec![b'x'; 3 * LINE_LIMIT];
        let whole = |number, line: &[u8]| (number, Some(line.to_vec()));
        assert_eq!(
            split(&[b"a\n", &long, &long, b"\nb\n", b"c"]),
            [whole(1, b"a"), (2, None), whole(3, b"b"), whole(4, b"c")]
        );
        assert_eq!(split(&[&long]), [(1, None)]);
        let fits = vec![b'x'; LINE_LIMIT - 1];
        assert_eq!(split(&[&fits, b"\n"]), [whole(1, &fits)]);
        assert_eq!(split(&[&fits, b"x\n"]), [(1, None)]);
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            size in 1_usize..20,
        ) {
            let chunks: Vec<&[u8]> = text.chunks(size).collect();
            prop_assert_eq!(split(&chunks), split(&[&text]));
        }
    }
}
