//! One target's libFuzzer process.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use super::{
    build::Built,
    log::{Reader, Seen},
};
use crate::process;

/// Of one input, s. An input that takes longer is a crash.
const TIMEOUT: u64 = 25;
/// Of the process.
const RSS_LIMIT_MIB: u64 = 2048;

/// How long, and from where.
#[derive(Clone, Copy)]
pub enum Extent {
    /// With the corpus that earlier runs left, s.
    Explore(u64),
    /// From the seeds alone and with the same random numbers, so that the same commit ends alike on each machine: at most so
    /// many inputs, and s.
    Repeat(u64, u64),
}

pub struct Fuzzer {
    child: Child,
    binary: PathBuf,
    log: PathBuf,
}

pub struct Outcome {
    pub seen: Seen,
    pub crash: Option<Crash>,
}

pub struct Crash {
    pub why: String,
    /// Path, or what is known instead.
    pub input: String,
    pub replay: String,
    pub log: PathBuf,
}

impl Fuzzer {
    /// The corpus grows in `cache`; what is in fuzz/seeds is read and left as it is.
    pub fn start(built: &Built, cache: &Path, name: &str, extent: Extent) -> Result<Self> {
        let made = |kind: &str| -> Result<PathBuf> {
            let directory = cache.join(kind).join(name);
            fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
            Ok(directory)
        };
        let log = cache.join(format!("{name}.log"));
        let binary = built.directory.join(name);
        let mut command = Command::new(&binary);
        let corpus = match extent {
            Extent::Explore(seconds) => {
                command.arg(format!("-max_total_time={seconds}"));
                made("corpus")?
            }
            Extent::Repeat(inputs, seconds) => {
                command.args(["-seed=1".to_owned(), format!("-runs={inputs}")]);
                command.arg(format!("-max_total_time={seconds}"));
                let corpus = made("repeated")?;
                fs::remove_dir_all(&corpus)?;
                made("repeated")?
            }
        };
        command
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={RSS_LIMIT_MIB}"))
            .arg(format!(
                "-artifact_prefix={}/",
                made("artifacts")?.display()
            ))
            .arg("-print_final_stats=1")
            .arg(&corpus);
        // A backtrace of all that debug information may take longer than the limit; the replay gives one.
        command.env("RUST_BACKTRACE", "0");
        let seeds = process::workspace().join("fuzz/seeds").join(name);
        if seeds.is_dir() {
            command.arg(&seeds);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self { child, binary, log })
    }

    /// Waits for its end; `told` hears of each line that says how far it is.
    pub fn finish(mut self, told: impl Fn(&str)) -> Result<Outcome> {
        let mut log = File::create(&self.log).with_context(|| self.log.display().to_string())?;
        let mut reader = Reader::default();
        if let Some(stderr) = self.child.stderr.take() {
            // What a target prints may be any bytes.
            for line in BufReader::new(stderr).split(b'\n') {
                let line = line?;
                log.write_all(&line)?;
                log.write_all(b"\n")?;
                if let Some(progress) = reader.line(&String::from_utf8_lossy(&line)) {
                    told(&progress);
                }
            }
        }
        let status = self.child.wait()?;
        let crash = (!status.success()).then(|| {
            let input = reader.artifact.clone();
            Crash {
                why: reader.why.clone().unwrap_or_else(|| status.to_string()),
                replay: format!(
                    "{} {}",
                    self.binary.display(),
                    input.as_deref().unwrap_or("INPUT")
                ),
                input: input.unwrap_or_else(|| "none was written; see the log".to_owned()),
                log: self.log.clone(),
            }
        });
        Ok(Outcome {
            seen: reader.seen(),
            crash,
        })
    }
}

impl Drop for Fuzzer {
    fn drop(&mut self) {
        // Fails only where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
