//! Stdout and stderr, in order. A reader of stdout who is gone is noticed also while nothing is written.

use std::{
    collections::VecDeque,
    io::{self, Write as _},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{input::Input, view::Sink};
use crate::plain::one_line;

/// Written at once.
const FULL: usize = 64 * 1024;
/// Between two looks at a file.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

pub struct Screen {
    text: String,
    /// Until the end of the input is reached first: the last lines, no more than so many.
    last: Option<(usize, VecDeque<Line>)>,
    /// That of the last line.
    ruler: String,
    /// Of the writing of a note's place in the order.
    failed: Option<io::Error>,
}

struct Line {
    ruler: Option<String>,
    text: String,
}

impl Screen {
    /// `last`: of what is there at the start, only so many lines.
    pub fn new(last: Option<usize>) -> Self {
        Self {
            text: String::new(),
            last: last.map(|most| (most, VecDeque::new())),
            ruler: String::new(),
            failed: None,
        }
    }

    /// # Errors
    /// Those of write(2).
    pub fn flush_full(&mut self) -> io::Result<()> {
        self.write_text_if(|text| text.len() >= FULL)
    }

    /// The end is reached, or a pause.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn flush(&mut self) -> io::Result<()> {
        for line in self.last.take().into_iter().flat_map(|(_, lines)| lines) {
            self.push(line.ruler.as_deref(), &line.text);
        }
        self.write_text_if(|_| true)
    }

    /// False when nobody reads stdout any more.
    pub fn wait(&self) -> bool {
        wait(
            &mut [PollFd::new(&io::stdout(), PollFlags::empty())],
            Some(&LOOK),
        )
    }

    /// Until there is something to read; false when nobody reads stdout any more.
    pub fn wait_for(&self, input: &Input) -> bool {
        let stdout = io::stdout();
        let ours = PollFd::new(&stdout, PollFlags::empty());
        match input.fd() {
            Some(fd) => wait(
                &mut [ours, PollFd::from_borrowed_fd(fd, PollFlags::IN)],
                None,
            ),
            None => wait(&mut [ours], Some(&LOOK)),
        }
    }

    fn push(&mut self, ruler: Option<&str>, line: &str) {
        if let Some(ruler) = ruler.filter(|ruler| *ruler != self.ruler) {
            self.text.push_str(ruler);
            self.text.push('\n');
            ruler.clone_into(&mut self.ruler);
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn write_text_if(&mut self, is_due: impl Fn(&str) -> bool) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.text.is_empty() || !is_due(&self.text) {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(self.text.as_bytes())?;
        self.text.clear();
        stdout.flush()
    }
}

impl Sink for Screen {
    fn line(&mut self, ruler: Option<&str>, line: String) {
        match &mut self.last {
            None => self.push(ruler, &line),
            Some((most, lines)) => {
                lines.push_back(Line {
                    ruler: ruler.map(str::to_owned),
                    text: line,
                });
                if lines.len() > *most {
                    lines.pop_front();
                }
            }
        }
    }

    fn note(&mut self, note: &str) {
        if let Err(error) = self.write_text_if(|_| true) {
            self.failed = Some(error);
        }
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(io::stderr(), "{}", one_line(note));
    }
}

/// The first of them is stdout.
fn wait(polled: &mut [PollFd<'_>], limit: Option<&Timespec>) -> bool {
    match poll(polled, limit) {
        Ok(_) => {}
        Err(Errno::INTR) => return true,
        Err(_) => return true,
    }
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    polled
        .first()
        .is_none_or(|stdout| !stdout.revents().intersects(gone))
}
