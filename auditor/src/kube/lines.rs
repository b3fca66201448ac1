//! A watch's answer line by line.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Failure, answer::Answer};

/// An object in etcd is at most 1.5 MiB; its JSON may be a few times as long.
const LONGEST: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Lines {
    answer: Answer,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
}

impl Lines {
    pub fn new(answer: Answer) -> Self {
        Self {
            answer,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }

    /// The next line without its end, and never an empty one; null when the answer has ended after a whole line.
    pub async fn next(&mut self, silence: Duration) -> Result<Option<Bytes>, Failure> {
        loop {
            while let Some(line) = self.buffered() {
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.buffer.len() > LONGEST {
                return Err(Failure::Garbled(format!("a line of over {LONGEST} bytes")));
            }
            match self.answer.piece(silence).await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None if self.buffer.trim_ascii().is_empty() => return Ok(None),
                None => return Err(Failure::Cut("in the middle of a line".to_owned())),
            }
        }
    }

    /// Whether the next line is here already.
    pub fn has_line(&self) -> bool {
        self.buffer.contains(&b'\n')
    }

    fn buffered(&mut self) -> Option<Bytes> {
        let rest = self.buffer.get(self.searched..)?;
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + end + 1);
        line.truncate(line.len() - 1);
        self.searched = 0;
        Some(line.freeze())
    }
}
