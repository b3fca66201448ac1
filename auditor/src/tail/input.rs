//! Where the lines come from: a file that may grow and be rotated, or a pipe.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
};

use crate::cli::Failure;

pub struct Input {
    /// Stdin when none.
    path: Option<PathBuf>,
    /// Not there yet, with `follow`.
    file: Option<Opened>,
    follow: bool,
    /// That it is not there was told.
    is_told: bool,
}

struct Opened {
    file: File,
    regular: bool,
    identity: (u64, u64),
    /// Read so far, where it is regular.
    offset: u64,
}

/// What [`Input::step`] came to.
pub enum Step<'a> {
    Bytes(&'a [u8]),
    /// What comes next is another file's, or the same one's from its beginning.
    Anew(&'static str),
    /// The file is not there.
    Waiting(&'static str),
    /// At the end of a file that may grow: look again in a moment.
    Idle,
    /// A pipe without anything in it.
    Blocked,
    End,
}

impl Input {
    /// # Errors
    /// When it cannot be opened, but for a file that is not there yet and is to be followed.
    pub fn open(path: Option<&Path>, follow: bool) -> Result<Self, Failure> {
        let file = match path {
            None => stdin().map(Some),
            Some(path) => match Opened::open(path) {
                Err(error) if follow && error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => opened.map(Some),
            },
        };
        let file = file.map_err(|error| {
            let name = path.map_or_else(|| "stdin".to_owned(), |path| path.display().to_string());
            let help = match error.kind() {
                io::ErrorKind::NotFound => "name a file that `auditor run --output-file` writes; with --follow it may come later",
                io::ErrorKind::IsADirectory => "name a file in it",
                _ => "read it as a user who may, or pipe it in",
            };
            Failure::environment(anyhow::Error::new(error).context(format!("cannot read {name}"))).help(help)
        })?;
        Ok(Self {
            path: path.map(Path::to_owned),
            file,
            follow,
            is_told: false,
        })
    }

    pub fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "stdin".to_owned(), |path| path.display().to_string())
    }

    /// To be waited for where it is a pipe.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|opened| opened.file.as_fd())
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// Those of open(2), read(2) and stat(2).
    pub fn step<'a>(&mut self, buffer: &'a mut [u8]) -> io::Result<Step<'a>> {
        let Some(opened) = &mut self.file else {
            return self.look_for_it();
        };
        if !opened.regular && !is_readable(&opened.file)? {
            return Ok(Step::Blocked);
        }
        match opened.file.read(buffer) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                Ok(Step::Idle)
            }
            Err(error) => Err(error),
            Ok(0) => match &self.path {
                Some(path) if opened.regular && self.follow => {
                    let path = path.clone();
                    self.at_the_end(&path, buffer)
                }
                _ => Ok(Step::End),
            },
            Ok(read) => {
                opened.offset += read as u64;
                Ok(Step::Bytes(buffer.get(..read).unwrap_or_default()))
            }
        }
    }

    /// A file that was rotated is written to until its writer has looked: so it is left when the new one has something in it.
    fn at_the_end<'a>(&mut self, path: &Path, buffer: &'a mut [u8]) -> io::Result<Step<'a>> {
        let Some(opened) = &mut self.file else {
            return Ok(Step::Idle);
        };
        let there = match fs::metadata(path) {
            Ok(there) => there,
            // Between a rename and the new file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Step::Idle),
            Err(error) => return Err(error),
        };
        if identity(&there) == opened.identity {
            if there.len() >= opened.offset {
                return Ok(Step::Idle);
            }
            opened.file.seek(SeekFrom::Start(0))?;
            opened.offset = 0;
            return Ok(Step::Anew("was cut; from its beginning again"));
        }
        if there.len() == 0 {
            return Ok(Step::Idle);
        }
        // What came between the last read and the look.
        let read = opened.file.read(buffer)?;
        if read > 0 {
            opened.offset += read as u64;
            return Ok(Step::Bytes(buffer.get(..read).unwrap_or_default()));
        }
        match Opened::open(path) {
            Ok(new) => {
                self.file = Some(new);
                Ok(Step::Anew("was rotated; on to the new file"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Step::Idle),
            Err(error) => Err(error),
        }
    }

    fn look_for_it<'a>(&mut self) -> io::Result<Step<'a>> {
        let Some(path) = &self.path else {
            return Ok(Step::End);
        };
        match Opened::open(path) {
            Ok(opened) => {
                self.file = Some(opened);
                Ok(Step::Idle)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_told => {
                self.is_told = true;
                Ok(Step::Waiting("is not there yet; waiting for it"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Step::Idle),
            Err(error) => Err(error),
        }
    }
}

impl Opened {
    fn open(path: &Path) -> io::Result<Self> {
        Self::new(File::open(path)?)
    }

    fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self {
            regular: metadata.is_file(),
            identity: identity(&metadata),
            file,
            offset: 0,
        })
    }
}

fn stdin() -> io::Result<Opened> {
    let fd = io::stdin().as_fd().try_clone_to_owned()?;
    Opened::new(File::from(fd))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn is_readable(file: &File) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(file, PollFlags::IN)];
    match poll(&mut polled, Some(&now)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Everything that comes without waiting, and what was said.
    fn drain(input: &mut Input) -> String {
        let mut buffer = [0; 7];
        let mut text = String::new();
        loop {
            match input.step(&mut buffer).unwrap() {
                Step::Bytes(bytes) => text.push_str(std::str::from_utf8(bytes).unwrap()),
                Step::Anew(why) | Step::Waiting(why) => text.push_str(&format!("<{why}>")),
                Step::Idle | Step::Blocked => return text,
                Step::End => return text + "<end>",
            }
        }
    }

    #[test]
    fn a_file_is_followed_over_a_rename_until_the_new_one_has_something_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut input = Input::open(Some(&path), true).ok().unwrap();
        assert_eq!(drain(&mut input), "<is not there yet; waiting for it>");
        assert_eq!(drain(&mut input), "");
        let mut old = File::create(&path).unwrap();
        writeln!(old, "first").unwrap();
        assert_eq!(drain(&mut input), "");
        assert_eq!(drain(&mut input), "first\n");
        fs::rename(&path, dir.path().join("events.1")).unwrap();
        writeln!(old, "late").unwrap();
        assert_eq!(drain(&mut input), "late\n");
        let mut new = File::create(&path).unwrap();
        writeln!(old, "later").unwrap();
        assert_eq!(
            drain(&mut input),
            "later\n",
            "its writer has not looked yet"
        );
        writeln!(old, "latest").unwrap();
        writeln!(new, "new").unwrap();
        assert_eq!(
            drain(&mut input),
            "latest\n<was rotated; on to the new file>new\n"
        );
    }

    #[test]
    fn a_file_that_is_cut_is_read_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        fs::write(&path, "a long first line\n").unwrap();
        let mut input = Input::open(Some(&path), true).ok().unwrap();
        assert_eq!(drain(&mut input), "a long first line\n");
        fs::write(&path, "short\n").unwrap();
        assert_eq!(
            drain(&mut input),
            "<was cut; from its beginning again>short\n"
        );
    }

    #[test]
    fn without_follow_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        assert!(Input::open(Some(&path), false).is_err());
        assert!(Input::open(Some(dir.path()), true).is_err());
        fs::write(&path, "x\n").unwrap();
        let mut input = Input::open(Some(&path), false).ok().unwrap();
        assert_eq!(drain(&mut input), "x\n<end>");
    }
}
