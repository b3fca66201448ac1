//! Tokens are opened and closed; no byte is read or written.

use std::{
    fs::{File, OpenOptions},
    path::Path,
};

use crate::simulate::Refusal;

pub fn open(token: &Path) -> Result<(), Refusal> {
    closed(token, File::open(token))
}

/// Without truncating.
pub fn open_for_writing(token: &Path) -> Result<(), Refusal> {
    closed(token, OpenOptions::new().write(true).open(token))
}

fn closed(token: &Path, opened: std::io::Result<File>) -> Result<(), Refusal> {
    opened.map(drop).map_err(|source| Refusal::Open {
        path: token.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, mem::MaybeUninit};

    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

    use super::*;

    /// What the kernel says was done with the file meanwhile.
    fn done_to(file: &Path, deed: impl FnOnce()) -> ReadFlags {
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        add_watch(&watch, file, WatchFlags::ALL_EVENTS).unwrap();
        deed();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(watch, &mut buffer);
        let mut done = ReadFlags::empty();
        while let Ok(event) = reader.next() {
            done |= event.events();
        }
        done
    }

    #[test]
    fn a_token_is_opened_and_closed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        fs::write(&token, "secret").unwrap();
        assert_eq!(
            done_to(&token, || open(&token).unwrap()),
            ReadFlags::OPEN | ReadFlags::CLOSE_NOWRITE
        );
        assert_eq!(
            done_to(&token, || open_for_writing(&token).unwrap()),
            ReadFlags::OPEN | ReadFlags::CLOSE_WRITE
        );
        // It would be told of if it were read.
        let read = done_to(&token, || assert_eq!(fs::read(&token).unwrap(), b"secret"));
        assert!(read.contains(ReadFlags::ACCESS), "{read:?}");
        assert!(open(&directory.path().join("none")).is_err());
        assert!(open_for_writing(&directory.path().join("none")).is_err());
        assert!(!directory.path().join("none").exists());
    }
}
