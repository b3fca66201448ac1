//! A look at the memory of a child of our own.

use std::{
    fs::File,
    io::{self, PipeReader, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{CanaryError, PATIENCE};
use crate::probe::{
    reader::{Found, Rings},
    record::{Record, decode},
};

/// Opens the memory of a child of our own: a thread of ours would not be asked about.
pub(super) fn memory(rings: &mut Rings, own_tgid: u32) -> Result<(), CanaryError> {
    let child = PausedChild::spawn()?;
    let path = format!("/proc/{}/mem", child.child.id());
    let deadline = Instant::now() + PATIENCE;
    loop {
        // A security module may refuse it behind the hook (Yama's ptrace_scope 3).
        let opened = File::open(&path);
        let fired = rings.find(|bytes| match decode(bytes) {
            Ok(Record::Memory(record)) if record.task.pid == own_tgid => Found::Yes,
            _ => Found::No,
        });
        match opened {
            _ if fired => return Ok(()),
            // Once more: a spawned child lets its parent go on before it has left the parent's memory (fs/exec.c `exec_mmap`), and
            // until it has, nobody is asked (kernel/fork.c `mm_access`).
            _ if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
            Ok(_) => return Err(CanaryError::Silent),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The auditor's own program, which stands still as soon as it wants to say its version: its output is full.
struct PausedChild {
    child: Child,
    /// Never read.
    _output: PipeReader,
}

impl PausedChild {
    fn spawn() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&writer, true)?;
        let mut filling = &writer;
        loop {
            match filling.write(&[0; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        rustix::io::ioctl_fionbio(&writer, false)?;
        let child = Command::new("/proc/self/exe")
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            _output: reader,
        })
    }
}

impl Drop for PausedChild {
    fn drop(&mut self) {
        // It has nothing to lose; one that is gone already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
