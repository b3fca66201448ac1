//! A name goes back and forth between a harmless file and the token while it is opened, and the kubelet rotates the token below.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::symlink,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::common::{PATIENCE, leave_word, left_running, read, wait_for_word};

const NAME: &str = "/tmp/readme.txt";
/// Few enough that none are counted instead of told.
const OPENS: usize = 5;

pub fn run(args: &[String]) -> Result<()> {
    match args {
        [race, token] if race == "race" => left_running(|ready| {
            swap_to(Path::new("/dev/null"))?;
            ready();
            for _ in 0..OPENS {
                once(Path::new(token))?;
                thread::sleep(Duration::from_millis(60));
            }
            leave_word("rename-race")
        }),
        [wait] if wait == "wait" => wait_for_word("rename-race"),
        _ => bail!("usage: rename-race race TOKEN | rename-race wait"),
    }
}

/// In the moment of a rotation the token is gone.
fn once(token: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    swap_to(token)?;
    let opened = loop {
        match File::open(NAME) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                ensure!(Instant::now() < deadline, "the token does not come back");
            }
            opened => break opened?,
        }
    };
    swap_to(Path::new("/dev/null"))?;
    read(opened)
}

fn swap_to(target: &Path) -> Result<()> {
    symlink(target, "/tmp/next")?;
    Ok(fs::rename("/tmp/next", NAME)?)
}
