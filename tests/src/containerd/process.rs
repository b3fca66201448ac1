//! `ctr run` in the foreground: the container's stdin and stdout are its own.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::runtime::Runtime;
use crate::{
    patience,
    wire::{Output, RunRequest, Worker, argv},
};

/// A container whose init answers requests.
pub struct Attached {
    /// Of the init, on the host.
    pub pid: u32,
    worker: Worker,
}

impl Attached {
    /// Returns when the init has answered once (`ready`) or, where it says nothing, when its pid is known.
    pub fn start(
        runtime: &Runtime,
        id: &str,
        name: String,
        command: Command,
        answers: bool,
    ) -> Result<Self> {
        let mut worker = Worker::spawn(name.clone(), command)?;
        if answers {
            let request = RunRequest {
                argv: argv(["true"]),
            };
            worker.call::<_, Output>(&request)?.succeeded()?;
        }
        let deadline = Instant::now() + Duration::from_secs(20) * patience();
        loop {
            if let Some(pid) = runtime.pid_of(id) {
                return Ok(Self { pid, worker });
            }
            ensure!(Instant::now() < deadline, "{name} does not start");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// By the workload: a child of the container's init.
    pub fn run(&mut self, words: &[&str]) -> Result<String> {
        let request = RunRequest { argv: argv(words) };
        self.worker.call::<_, Output>(&request)?.succeeded()
    }

    /// Ends the init by closing its stdin, and waits until the runtime has removed the container.
    pub fn end(self) -> Result<()> {
        self.worker.finish(Duration::from_secs(20) * patience())
    }
}
