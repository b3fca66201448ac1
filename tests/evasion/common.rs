//! What the techniques share: none of it opens a token or connects.

use std::{
    ffi::CString,
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpStream},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lab::sys::{
    fork::{Fork, SingleThreaded},
    memory::{Way, end_of_stack, look},
    ring::{By, Ring},
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// The Pod Identity agent.
pub const AGENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 170, 23), 80);
pub const REQUEST: &[u8] = b"GET /v1/credentials HTTP/1.1\r\nhost: 169.254.170.23\r\n\r\n";
/// Nothing that a technique waits for takes longer, and what it leaves running ends by then.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The kernel lacks what the technique needs; found out by trying.
#[derive(Debug)]
pub struct Skipped(pub String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

pub fn skip(why: impl fmt::Display) -> anyhow::Error {
    Skipped(why.to_string()).into()
}

/// `result`, or a skip where the kernel does not know such a thing.
pub fn offered<T>(result: io::Result<T>, what: &str) -> Result<T> {
    result.map_err(|e| match e.raw_os_error() {
        Some(
            libc::ENOSYS
            | libc::EOPNOTSUPP
            | libc::EPROTONOSUPPORT
            | libc::EINVAL
            | libc::ENODEV
            | libc::ENOPROTOOPT
            | libc::EAFNOSUPPORT,
        ) => skip(format!("this kernel has no {what}: {e}")),
        _ => anyhow::Error::new(e).context(what.to_owned()),
    })
}

pub fn ring(by: By) -> Result<Ring> {
    match Ring::new(by) {
        // kernel.io_uring_disabled
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => Err(skip("io_uring is switched off")),
        made => offered(made, "io_uring"),
    }
}

/// The only argument.
pub fn only(args: &[String]) -> Result<&Path> {
    match args {
        [path] => Ok(Path::new(path)),
        _ => bail!("one path is needed, not {args:?}"),
    }
}

pub fn c_path(path: &Path) -> Result<CString> {
    Ok(CString::new(path.as_os_str().as_encoded_bytes())?)
}

/// Directory and name.
pub fn apart(path: &Path) -> Result<(&Path, &Path)> {
    let dir = path.parent().context("no directory")?;
    Ok((dir, Path::new(path.file_name().context("no file name")?)))
}

/// Reads it to the end.
pub fn read(file: impl Into<OwnedFd>) -> Result<()> {
    let mut bytes = Vec::new();
    File::from(file.into()).read_to_end(&mut bytes)?;
    token(&bytes)
}

/// A technique that did not get the token proves nothing. Says how long it is, never what it holds.
pub fn token(bytes: &[u8]) -> Result<()> {
    ensure!(
        bytes.starts_with(b"ey") && bytes.iter().filter(|b| **b == b'.').count() == 2,
        "{} bytes that are no JWT",
        bytes.len()
    );
    println!("a token of {} bytes", bytes.len());
    Ok(())
}

pub fn tcp() -> Result<OwnedFd> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// Asks over a connected socket; any answer will do.
pub fn ask(socket: impl Into<OwnedFd>) -> Result<()> {
    let mut stream = TcpStream::from(socket.into());
    stream.write_all(REQUEST).context("ask")?;
    answer(&mut stream)
}

pub fn answer(stream: &mut (impl Read + AsFd)) -> Result<()> {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes).context("read the answer")?;
    ensure!(
        bytes[..length].starts_with(b"HTTP/1.1 "),
        "{length} bytes that are no answer"
    );
    println!("an answer of {length} bytes");
    Ok(())
}

/// Does `work` in a process that is left running: this one goes on once that has called `ready`.
pub fn left_running(work: impl FnOnce(&mut dyn FnMut()) -> Result<()>) -> Result<()> {
    let (mut ready, told) = io::pipe()?;
    match SingleThreaded::check()?.fork()? {
        Fork::Parent(_) => {
            drop(told);
            ensure!(
                ready.read(&mut [0])? == 1,
                "what should have been left running has ended"
            );
            Ok(())
        }
        Fork::Child => {
            drop(ready);
            // Whoever started this waits for the end of its output.
            let null = File::options().write(true).open("/dev/null")?;
            rustix::stdio::dup2_stdout(&null)?;
            let mut told = Some(told);
            let result = work(&mut || {
                if let Some(mut told) = told.take() {
                    // The parent has ended only where this came too late.
                    let _ = told.write_all(b"!");
                }
            });
            if let Err(e) = &result {
                eprintln!("left running: {e:#}");
            }
            std::process::exit(i32::from(result.is_err()))
        }
    }
}

/// Until the pod is deleted.
pub fn stay() -> Result<()> {
    thread::sleep(PATIENCE * 10);
    Ok(())
}

/// Leaves word for [`wait_for_word`].
pub fn leave_word(name: &str) -> Result<()> {
    Ok(fs::write(format!("/tmp/{name}"), "")?)
}

pub fn wait_for_word(name: &str) -> Result<()> {
    let (path, deadline) = (format!("/tmp/{name}"), Instant::now() + PATIENCE);
    while !Path::new(&path).exists() {
        ensure!(Instant::now() < deadline, "no {name}");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The end of a process's stack, with the token that its holder put there: looks there for it.
pub fn token_on_stack(args: &[String], way: Way) -> Result<()> {
    /// As much as is there in any process.
    const LENGTH: usize = 65_536;
    let pid = args.first().context("no pid")?.parse()?;
    let bytes = look(pid, end_of_stack(pid)? - LENGTH as u64, way, LENGTH)?;
    let texts = bytes.split(|b| !b.is_ascii_graphic());
    token(texts.max_by_key(|text| text.len()).unwrap_or_default())
}
