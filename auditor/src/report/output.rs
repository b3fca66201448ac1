//! Where the bytes go: stdout, or a file that may be rotated.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
};

/// How often a file is looked at for rotation.
const ROTATION_CHECK: Duration = Duration::from_millis(500);

/// A pipe with room takes this many bytes at once, pipe(7); more could block for as long as its reader likes.
const PIPE_CHUNK: usize = 4096;

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("cannot write events to {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot write events to {}: it is a directory", path.display())]
    Directory { path: PathBuf },
    #[error("cannot write events to stdout")]
    Stdout(#[source] io::Error),
}

impl OutputError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Open { path, source } => match source.kind() {
                io::ErrorKind::NotFound => {
                    let directory = path.parent().unwrap_or(Path::new("."));
                    format!(
                        "make the directory {}, or choose another --output-file",
                        directory.display()
                    )
                }
                _ if source.raw_os_error() == Some(libc::ENXIO) => {
                    "it is a FIFO that nobody reads: start its reader first".to_owned()
                }
                _ => "choose an --output-file that this user may append to".to_owned(),
            },
            Self::Directory { path } => format!(
                "name a file in it: --output-file {}/events.jsonl",
                path.display()
            ),
            Self::Stdout(_) => {
                "start the auditor with stdout open, or choose an --output-file".to_owned()
            }
        }
    }
}

/// An open destination. Writes never block for longer than they are told to.
#[derive(Debug)]
pub struct Output {
    file: File,
    /// Set for a file that was named: regular ones are rotated, FIFOs made anew.
    rotated: Option<Rotated>,
    regular: bool,
    name: String,
}

#[derive(Debug)]
struct Rotated {
    path: PathBuf,
    identity: (u64, u64),
    checked: Instant,
}

impl Output {
    /// # Errors
    /// When stdout cannot be duplicated.
    pub fn stdout() -> Result<Self, OutputError> {
        let fd = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(OutputError::Stdout)?;
        Self::from_file(File::from(fd), "stdout").map_err(OutputError::Stdout)
    }

    /// Appends to `path`; made with mode 0640 where missing.
    ///
    /// # Errors
    /// When it cannot be opened for writing.
    pub fn file(path: &Path) -> Result<Self, OutputError> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::IsADirectory => OutputError::Directory {
                path: path.to_owned(),
            },
            _ => OutputError::Open {
                path: path.to_owned(),
                source,
            },
        };
        let (file, metadata) = open(path).map_err(fail)?;
        let can_be_replaced = metadata.is_file() || metadata.file_type().is_fifo();
        let rotated = can_be_replaced.then(|| Rotated {
            path: path.to_owned(),
            identity: identity(&metadata),
            checked: Instant::now(),
        });
        Ok(Self {
            file,
            rotated,
            regular: metadata.is_file(),
            name: path.display().to_string(),
        })
    }

    pub(super) fn from_file(file: File, name: &str) -> io::Result<Self> {
        let regular = file.metadata()?.is_file();
        Ok(Self {
            file,
            rotated: None,
            regular,
            name: name.to_owned(),
        })
    }

    /// `stdout`, or the path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes some of `bytes`; 0 when there was no room for any within `patience`.
    ///
    /// # Errors
    /// Those of write(2).
    pub(super) fn write_some(&mut self, bytes: &[u8], patience: Duration) -> io::Result<usize> {
        if self.regular {
            return match retry_later(self.file.write(bytes)) {
                Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            };
        }
        let timeout = Timespec {
            tv_sec: patience.as_secs().cast_signed(),
            tv_nsec: patience.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.file, PollFlags::OUT)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(0),
            Ok(_) => retry_later(self.file.write(&bytes[..bytes.len().min(PIPE_CHUNK)])),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file anew if its path no longer leads to it; looks every half second, or `now` when asked to, at a FIFO only
    /// then.
    /// True when it did.
    ///
    /// # Errors
    /// When there is another file, or none, and it cannot be opened: the old one is not written to any more.
    pub(super) fn follow(&mut self, now: bool) -> io::Result<bool> {
        let Some(rotated) = &mut self.rotated else {
            return Ok(false);
        };
        if !now && (!self.regular || rotated.checked.elapsed() < ROTATION_CHECK) {
            return Ok(false);
        }
        let there = std::fs::metadata(&rotated.path);
        // A FIFO's reader who is gone may come back to the old one; none is made in its place.
        let is_same = match &there {
            Ok(metadata) => identity(metadata) == rotated.identity,
            Err(_) => !self.regular,
        };
        if is_same {
            rotated.checked = Instant::now();
            return Ok(false);
        }
        let (file, metadata) = open(&rotated.path)?;
        rotated.identity = identity(&metadata);
        rotated.checked = Instant::now();
        self.regular = metadata.is_file();
        self.file = file;
        Ok(true)
    }

    /// Makes what was written outlive a power cut; a pipe has nothing to do.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.regular {
            self.file.sync_data()
        } else {
            Ok(())
        }
    }
}

fn retry_later(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(0)
        }
        other => other,
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Without O_NONBLOCK the open of a FIFO waits for a reader, perhaps for ever.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.file_type().is_fifo() {
        fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    } else if metadata.is_file() && metadata.len() > 0 && ends_torn(path, metadata.len()) {
        // A writer died, or its disk filled up, in the middle of a line: ours starts on its own.
        (&file).write_all(b"\n")?;
    }
    Ok((file, metadata))
}

/// The last line has no end. When it cannot be read, it is taken for whole.
fn ends_torn(path: &Path, len: u64) -> bool {
    let mut last = [0];
    File::open(path)
        .and_then(|f| f.read_exact_at(&mut last, len - 1))
        .is_ok_and(|()| last != *b"\n")
}
