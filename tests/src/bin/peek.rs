//! Opens a file, reads it to the end and prints how long it was, never what it held.
//!
//! `peek PATH` (openat), `peek --openat2 PATH` (openat2, refusing magic links), `peek --path-only PATH` (openat with
//! O_PATH: the descriptor can be stat'ed and not read), `peek --list DIR` (names in a directory), `peek --refused UID PATH`
//! (as that user and group, whom it must be refused), `peek --times N PATH` (opens it so often and reads nothing; prints how long
//! the slowest took), `peek --chroot DIR PATH` (with DIR as its root; PATH is of the root that it had).

use std::{
    env,
    fs::File,
    io::Read,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2},
    io::Errno,
    process::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--openat2", path] => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let fd = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)
                .context(path.to_owned())?;
            length(path, fd.into())
        }
        ["--path-only", path] => {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let fd = openat(CWD, path, flags, Mode::empty()).context(path.to_owned())?;
            ensure!(
                rustix::io::read(&fd, &mut [0_u8; 1]) == Err(Errno::BADF),
                "{path} can be read"
            );
            println!("{path}: {} bytes", fstat(&fd)?.st_size);
            Ok(())
        }
        ["--chroot", dir, path] => {
            let path = Path::new(path);
            // The working directory stays where it is, outside of the root.
            env::set_current_dir(path.parent().context("a path of no directory")?)?;
            rustix::process::chroot(dir).context(dir.to_owned())?;
            let name = path.file_name().context("a path of no file")?;
            length(&path.to_string_lossy(), File::open(name)?)
        }
        ["--refused", uid, path] => {
            let (uid, gid) = (Uid::from_raw(uid.parse()?), Gid::from_raw(uid.parse()?));
            set_thread_groups(&[])?;
            set_thread_res_gid(gid, gid, gid)?;
            // Without capabilities from here on, and before any thread is made.
            set_thread_res_uid(uid, uid, uid)?;
            match openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
                Err(Errno::ACCESS) => Ok(()),
                Err(other) => bail!("{path}: {other}, and not EACCES"),
                Ok(_) => bail!("{path} can be opened"),
            }
        }
        ["--times", times, path] => {
            let mut slowest = Duration::ZERO;
            for _ in 0..times.parse::<u64>()? {
                let begun = Instant::now();
                drop(File::open(path).with_context(|| path.to_owned())?);
                slowest = slowest.max(begun.elapsed());
            }
            println!("{}", slowest.as_micros());
            Ok(())
        }
        ["--list", dir] => {
            let names = std::fs::read_dir(dir).context(dir.to_owned())?.count();
            println!("{dir}: {names} names");
            Ok(())
        }
        [path] if !path.starts_with("--") => length(
            path,
            File::open(Path::new(path)).with_context(|| path.to_owned())?,
        ),
        _ => bail!(
            "usage: peek [--openat2 | --path-only | --refused UID | --times N] PATH | peek --list DIR"
        ),
    }
}

fn length(path: &str, mut file: File) -> Result<()> {
    let length = file
        .read_to_end(&mut Vec::new())
        .with_context(|| path.to_owned())?;
    println!("{path}: {length} bytes");
    Ok(())
}
