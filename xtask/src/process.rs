//! Starting other programs: visible commands, captured output, and where things are on this machine.

use std::{
    env, fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// The workspace's root directory.
pub fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// `cargo`, in the workspace, without the variables that cargo set for xtask itself.
pub fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(workspace());
    if let Ok(path) = env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    for (key, _) in env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}

/// The same command, behind all others for the processors.
pub fn niced(command: &Command) -> Command {
    let mut niced = Command::new("nice");
    niced.args(["-n", "19"]).arg(command.get_program());
    niced.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => niced.env(name, value),
            None => niced.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        niced.current_dir(directory);
    }
    niced
}

/// The command as one would type it, for progress lines and errors.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Runs a command with its output on the terminal.
///
/// # Errors
/// When it cannot start or ends with another status than 0.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command silently and gives its standard output.
///
/// # Errors
/// As [`run`]; the message ends with the last line of its standard error.
pub fn capture(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        let reason = stderr.trim_end().lines().next_back().unwrap_or_default();
        bail!("`{}` failed: {status}: {reason}", shown(command));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Runs a command for at most `limit`, then kills it (its own process id only).
///
/// # Errors
/// As [`run`], and when the limit passes.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    println!("$ {} (at most {} s)", shown(command), limit.as_secs());
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    let begun = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => bail!("`{}` failed: {status}", shown(command)),
            None if begun.elapsed() > limit => {
                child.kill()?;
                child.wait()?;
                bail!("`{}` took more than {} s", shown(command), limit.as_secs());
            }
            None => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// PATH, then what it often lacks: `cargo install`'s directory and the system's administration programs.
fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home =
        cargo_home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let mut directories: Vec<_> = env::split_paths(&path).collect();
    directories.extend(cargo_home.map(|home| home.join("bin")));
    directories.extend(["/usr/sbin".into(), "/sbin".into()]);
    directories
}

/// A program in PATH or in one of the usual directories beside it.
pub fn find(program: &str) -> Option<PathBuf> {
    search_path()
        .into_iter()
        .map(|directory| directory.join(program))
        .find(|file| {
            fs::metadata(file)
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Whether this process has the effective user id 0.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Prints what is done and why, runs it, then prints how long it took.
pub fn step<T>(what: &str, why: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {what}: {why}");
    let begun = Instant::now();
    let result = work();
    let end = if result.is_ok() { "done" } else { "failed" };
    println!(
        "==> {what}: {end} after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    result
}

/// A directory for what is fetched or built once; made where it is missing.
///
/// # Errors
/// When no place for it is known, or it cannot be made.
pub fn cache_directory(name: &str) -> Result<PathBuf> {
    let base = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => Path::new(&home).join(".cache"),
        _ => bail!("neither XDG_CACHE_HOME nor HOME is set: no place for a cache of {name}"),
    };
    let directory = base.join("eks-credential-auditor").join(name);
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

/// Where cargo puts what it builds.
pub fn target_directory() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace().join("target"), |path| workspace().join(path))
}
