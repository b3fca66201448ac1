//! What is said of lines that are no events: each stretch of the same kind once at its begin, and once at its end.

use super::{read::Trouble, view::Sink};

pub struct Notes {
    /// The input's name.
    input: String,
    /// Told of its first line only, so far.
    stretch: Option<Stretch>,
}

struct Stretch {
    kind: &'static str,
    /// Number of the last line.
    last: u64,
    /// Lines that were not told of.
    more: u64,
}

impl Notes {
    pub fn new(input: String) -> Self {
        Self {
            input,
            stretch: None,
        }
    }

    pub fn take(&mut self, number: u64, trouble: &Trouble, sink: &mut impl Sink) {
        let kind = trouble.kind();
        if let Some(stretch) = &mut self.stretch
            && stretch.kind == kind
            && stretch.last + 1 == number
        {
            stretch.last = number;
            stretch.more += 1;
            return;
        }
        self.flush(sink);
        sink.note(&format!(
            "auditor: {}:{number}: skipped: {trouble}",
            self.input
        ));
        self.stretch = Some(Stretch {
            kind,
            last: number,
            more: 0,
        });
    }

    /// Ends the stretch.
    pub fn flush(&mut self, sink: &mut impl Sink) {
        let Some(Stretch { kind, last, more }) = self.stretch.take() else {
            return;
        };
        if more == 0 {
            return;
        }
        let lines = match more {
            1 => last.to_string(),
            more => format!("{}-{last}", last - (more - 1)),
        };
        sink.note(&format!(
            "auditor: {}:{lines}: skipped: {more} more, {kind}",
            self.input
        ));
    }

    pub fn say(&mut self, what: &str, sink: &mut impl Sink) {
        sink.note(&format!("auditor: {}: {what}", self.input));
    }
}
