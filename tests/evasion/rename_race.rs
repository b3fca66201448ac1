//! A name goes back and forth between a harmless file and the token while it is opened, and the kubelet rotates the token below.
//!
//! `race TOKEN` is left running: one thread renames all the time, the other opens. `pass N` waits until that one has hit the
//! token N times, so that what comes next falls among the opens; `stop` ends it and prints `counted: N`.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{ErrorKind, Read},
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::common::{PATIENCE, left_running, stay, token};

const NAME: &str = "/tmp/readme.txt";
const DECOY: &str = "/tmp/decoy.txt";
/// How often the token was hit so far.
const HITS: &str = "/tmp/hits";
const STOP: &str = "/tmp/stop";
/// Hits, inodes among them, and opens of the decoy.
const RESULT: &str = "/tmp/result";
/// Between two hits: so few a second are all told, one by one.
const PAUSE: Duration = Duration::from_millis(60);

pub fn run(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["race", token] => left_running(|ready| race(Path::new(token), ready)),
        ["pass", hits] => {
            let hits: usize = hits.parse()?;
            wait_until("so many hits", || {
                let so_far = fs::read_to_string(HITS).unwrap_or_default();
                so_far.parse().is_ok_and(|so_far: usize| so_far >= hits)
            })
        }
        ["stop"] => stop(),
        _ => bail!("usage: rename-race race TOKEN | rename-race pass N | rename-race stop"),
    }
}

fn race(token: &Path, ready: &mut dyn FnMut()) -> Result<()> {
    fs::write(DECOY, "nothing of worth")?;
    swap_to(Path::new(DECOY))?;
    ready();
    let is_over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let swaps = scope.spawn(|| -> Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                swap_to(token)?;
                swap_to(Path::new(DECOY))?;
            }
            Ok(())
        });
        let opened = open_and_open();
        is_over.store(true, Ordering::Relaxed);
        swaps
            .join()
            .ok()
            .context("the renaming thread panicked")??;
        opened
    })?;
    // Whole at once.
    fs::write("/tmp/new-result", result)?;
    fs::rename("/tmp/new-result", RESULT)?;
    stay()
}

/// Until it is stopped.
fn open_and_open() -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    let (mut hits, mut decoys, mut inodes) = (0, 0, BTreeSet::new());
    while !Path::new(STOP).exists() {
        ensure!(Instant::now() < deadline, "nobody stops it");
        let mut file = match File::open(NAME) {
            // In the moment of a rotation the token is gone.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if token(&bytes).is_err() {
            decoys += 1;
            continue;
        }
        hits += 1;
        inodes.insert(file.metadata()?.ino());
        fs::write(HITS, format!("{hits}"))?;
        thread::sleep(PAUSE);
    }
    Ok(format!("{hits} {} {decoys}", inodes.len()))
}

fn stop() -> Result<()> {
    fs::write(STOP, "")?;
    wait_until("end", || Path::new(RESULT).exists())?;
    let result = fs::read_to_string(RESULT)?;
    let numbers = result.split(' ').map(str::parse);
    let numbers = numbers.collect::<Result<Vec<usize>, _>>()?;
    let [hits, inodes, decoys] = numbers[..] else {
        bail!("`{result}` is no result");
    };
    ensure!(inodes >= 2, "no rotation fell among the {hits} opens");
    ensure!(decoys >= 1, "the name was never another file's");
    println!("counted: {hits}");
    Ok(())
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        ensure!(Instant::now() < deadline, "no {what}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn swap_to(target: &Path) -> Result<()> {
    symlink(target, "/tmp/next")?;
    Ok(fs::rename("/tmp/next", NAME)?)
}
