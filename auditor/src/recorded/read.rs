//! Reads files of lines, each of any length that a line may have.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use super::{Body, Line};
use crate::report::LINE_LIMIT;

/// Connects that are remembered for their end.
const CONNECTS: usize = 8192;

#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct ReadError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// What was in the files besides lines of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Neither an event that was judged nor unreadable, by type.
    pub other: u64,
    /// Events that flood control folded: known by count only.
    pub folded: u64,
    /// Why a line could not be read, and how often that was.
    pub unreadable: BTreeMap<String, u64>,
}

/// Reasons that are told apart.
const REASONS: usize = 8;

/// Hands each line to `then`, file after file; `-` is stdin.
///
/// # Errors
/// When a file cannot be read. A line that makes no sense is counted, and the next one read.
pub fn read_files(paths: &[PathBuf], mut then: impl FnMut(Line)) -> Result<Skipped, ReadError> {
    let mut skipped = Skipped::default();
    for path in paths {
        let fail = |source| ReadError {
            path: path.clone(),
            source,
        };
        let input: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(path).map_err(fail)?)
        };
        read_one(BufReader::new(input), &mut skipped, &mut then).map_err(fail)?;
    }
    Ok(skipped)
}

fn read_one(
    mut input: impl BufRead,
    skipped: &mut Skipped,
    then: &mut impl FnMut(Line),
) -> io::Result<()> {
    let mut text = Vec::new();
    loop {
        text.clear();
        // Four times what a line may have: whoever wrote one that is longer did not write events.
        let limit = 4 * LINE_LIMIT as u64;
        if input.by_ref().take(limit).read_until(b'\n', &mut text)? == 0 {
            return Ok(());
        }
        if text.last() != Some(&b'\n') && text.len() as u64 == limit {
            skip_line(&mut input)?;
            skipped.note("longer than any line of events".to_owned());
            continue;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Line>(&text) {
            Ok(line) => match line.body {
                Body::Summary(folded) => {
                    // Recorded lines may be anybody's.
                    skipped.folded = skipped.folded.saturating_add(folded.count);
                }
                Body::Other => skipped.other += 1,
                _ => then(line),
            },
            Err(error) => {
                let text = error.to_string();
                // Without the place: one reason for all lines of a kind.
                let reason = text.split(" at line ").next().unwrap_or_default();
                skipped.note(reason.to_owned());
            }
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let len = end.map_or(buffer.len(), |at| at + 1);
        input.consume(len);
        if end.is_some() {
            return Ok(());
        }
    }
}

impl Skipped {
    fn note(&mut self, reason: String) {
        let is_known = self.unreadable.contains_key(&reason);
        let reason = match self.unreadable.len() < REASONS || is_known {
            true => reason,
            false => "other reasons".to_owned(),
        };
        *self.unreadable.entry(reason).or_default() += 1;
    }
}

/// Connects, remembered for the lines of their end, which do not tell of the process.
#[derive(Debug, Default)]
pub struct Closes {
    connects: HashMap<String, Line>,
    order: VecDeque<String>,
}

impl Closes {
    pub fn note(&mut self, line: &Line) {
        if !matches!(line.body, Body::CredentialConnect(_)) {
            return;
        }
        if self.order.len() >= CONNECTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.connects.remove(&oldest);
        }
        self.order.push_back(line.id.clone());
        self.connects.insert(line.id.clone(), line.clone());
    }

    /// The connect whose end the line tells of.
    #[must_use]
    pub fn connect_of(&self, line: &Line) -> Option<&Line> {
        match &line.body {
            Body::ConnectionClosed(closed) => self.connects.get(&closed.connect_id),
            _ => None,
        }
    }
}

/// A line, and the connect whose end it is.
pub type Found = (Line, Option<Line>);

/// The line of that id, or of the only one that begins or ends so. Null where there is none.
///
/// # Errors
/// When the file cannot be read; how many lines match, where they are several.
pub fn find(path: &Path, id: &str) -> Result<Result<Option<Found>, usize>, ReadError> {
    let mut closes = Closes::default();
    let mut exact = None;
    let mut like = Vec::new();
    read_files(&[path.to_owned()], |line| {
        closes.note(&line);
        if line.id == id {
            exact = Some((closes.connect_of(&line).cloned(), line));
        } else if like.len() < 100 && (line.id.starts_with(id) || line.id.ends_with(id)) {
            like.push((closes.connect_of(&line).cloned(), line));
        }
    })?;
    let found = match (exact, like.len()) {
        (Some(exact), _) => Some(exact),
        (None, 0 | 1) => like.pop(),
        (None, several) => return Ok(Err(several)),
    };
    Ok(Ok(found.map(|(connect, line)| (line, connect))))
}
