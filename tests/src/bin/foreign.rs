//! Runs one of the lab's programs as one that is not of the container's image.
//!
//! `foreign memfd PROGRAM ARGS…` (a copy in memory), `foreign deleted PROGRAM ARGS…` (a copy in /tmp whose name is gone),
//! `foreign upper PROGRAM ARGS…` and `foreign lower PROGRAM ARGS…` (a copy on the upper or the lower layer of an overlay
//! that is mounted for it), `foreign renamed PROGRAM ARGS…` (a copy in /tmp/root at the place that it has in the image).

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{OpenOptionsExt, PermissionsExt},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use lab::{container::HELPERS, sys::mounts};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    mount::{MountFlags, mount},
};

const USAGE: &str = "usage: foreign memfd|deleted|upper|lower|renamed PROGRAM ARGS…";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [how, program, args @ ..] = args.as_slice() else {
        bail!(USAGE);
    };
    let bytes = fs::read(Path::new(HELPERS).join(program)).with_context(|| program.clone())?;
    let executable = match how.as_str() {
        "memfd" => in_memory(program, &bytes)?,
        "deleted" => deleted(program, &bytes)?,
        "upper" => overlay(program, &bytes, true)?,
        "lower" => overlay(program, &bytes, false)?,
        "renamed" => renamed(program, &bytes)?,
        _ => bail!(USAGE),
    };
    Err(Command::new(executable).args(args).exec()).context("execute it")
}

fn in_memory(name: &str, bytes: &[u8]) -> Result<PathBuf> {
    // Without CLOEXEC: the dynamic linker finds the program by this name.
    let mut file = File::from(memfd_create(name, MemfdFlags::empty())?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(by_descriptor(file))
}

fn deleted(name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = Path::new("/tmp").join(name);
    write(&path, bytes)?;
    let flags = rustix::fs::OFlags::PATH;
    let file = rustix::fs::open(&path, flags, rustix::fs::Mode::empty())?;
    fs::remove_file(&path)?;
    Ok(by_descriptor(File::from(file)))
}

fn renamed(name: &str, bytes: &[u8]) -> Result<PathBuf> {
    let directory = Path::new("/tmp/root").join(HELPERS.trim_start_matches('/'));
    fs::create_dir_all(&directory)?;
    let path = directory.join(name);
    write(&path, bytes)?;
    Ok(path)
}

fn overlay(name: &str, bytes: &[u8], on_upper: bool) -> Result<PathBuf> {
    let layers = Path::new("/tmp/layers");
    fs::create_dir_all(layers)?;
    mounts::tmpfs(layers, "mode=0755")?;
    let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|d| layers.join(d));
    for dir in [&lower, &upper, &work, &merged] {
        fs::create_dir(dir)?;
    }
    write(&lower.join(name), bytes)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        upper.display(),
        work.display()
    );
    let options = std::ffi::CString::new(options)?;
    mount(
        "overlay",
        &merged,
        "overlay",
        MountFlags::empty(),
        options.as_c_str(),
    )
    .context("mount an overlay")?;
    let program = merged.join(name);
    if on_upper {
        // As `chown -R` in an entrypoint does, or whoever replaces a program of the image.
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
    }
    Ok(program)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o755);
    let mut file = options
        .open(path)
        .with_context(|| path.display().to_string())?;
    Ok(file.write_all(bytes)?)
}

fn by_descriptor(file: File) -> PathBuf {
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    // Stays open for the program.
    std::mem::forget(file);
    path
}
