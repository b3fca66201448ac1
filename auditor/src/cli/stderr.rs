//! Stderr as the log's destination: a reader who stalls must not hold up whoever logs, and that is also who judges.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A pipe that has room takes so many bytes without waiting, pipe(7).
const CHUNK: usize = 4096;

/// Messages that found no room, since the last that did.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Who has it writes. Another process on the same pipe does not ask for it: give the auditor a stderr of its own.
static TURN: Mutex<()> = Mutex::new(());

/// Writes a message where there is room for it, and otherwise counts it.
#[derive(Debug, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        write(&io::stderr(), message, &DROPPED)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Always takes the whole of `message`, or none of it where there is no room.
fn write(to: &impl AsFd, message: &[u8], dropped: &AtomicU64) -> io::Result<usize> {
    // Two that saw the same last room would both write, and the second would wait.
    let turn = TURN.try_lock();
    if turn.is_err() || !has_room(to) {
        dropped.fetch_add(1, Ordering::Relaxed);
        return Ok(message.len());
    }
    let missing = dropped.swap(0, Ordering::Relaxed);
    if missing > 0 {
        put(
            to,
            format!("{missing} messages found no room here\n").as_bytes(),
        )?;
    }
    put(to, message)?;
    Ok(message.len())
}

/// What has no room any more after its beginning is cut off.
fn put(to: &impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() && has_room(to) {
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        let written = rustix::io::write(to, chunk)?;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

fn has_room(to: &impl AsFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut polled = [PollFd::new(to, PollFlags::OUT)];
    poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_reader_who_stalls_holds_up_nobody_and_learns_what_it_missed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let dropped = AtomicU64::new(0);
        let message = [b'x'; 1000];
        let mut sent = 0;
        while dropped.load(Ordering::Relaxed) < 3 {
            assert_eq!(write(&writer, &message, &dropped).unwrap(), message.len());
            sent += 1;
        }
        let mut there = vec![0; (sent - 3) * message.len()];
        reader.read_exact(&mut there).unwrap();
        write(&writer, b"back\n", &dropped).unwrap();
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "3 messages found no room here\nback\n");
    }
}
