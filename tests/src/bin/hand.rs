//! Hands descriptors on and takes them.
//!
//! As a container's init: `hand hold FILE` (has it open, and answers with the descriptor's number), `hand map FILE` (has it mapped
//! only), `hand receive SOCKET` (listens
//! there, and answers each word once a descriptor has come and was closed again).
//! As a command: `hand send SOCKET FILE`, `hand send-connection SOCKET ADDR:PORT TOKEN-FILE` (reads the token first, as an SDK does),
//! `hand take PID FD` (pidfd_getfd), `hand within FILE` (from one process to another of its own), `hand juggle TIMES FILE` (to itself,
//! so often).

use std::{
    fs::File,
    io::Read,
    net::{SocketAddr, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use lab::{
    sys::{
        fork::{Fork, SingleThreaded},
        passing,
    },
    wire::serve,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, WaitOptions, pidfd_getfd, pidfd_open};

const USAGE: &str = "usage: hand hold FILE | map FILE | receive SOCKET | send SOCKET FILE | send-connection SOCKET ADDR:PORT TOKEN-FILE | \
                     take PID FD | within FILE | juggle TIMES FILE";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hold", file] => {
            let file = open(file)?;
            serve(|_: String| Ok(file.as_raw_fd()))
        }
        ["map", file] => {
            map(open(file)?)?;
            serve(|_: String| Ok(0))
        }
        ["receive", socket] => {
            let listener = UnixListener::bind(socket).context(socket.to_owned())?;
            serve(|word: String| match word.as_str() {
                "ready" => Ok(0),
                _ => size(passing::receive(&listener.accept()?.0)?),
            })
        }
        ["send", socket, file] => passing::send(&passing::dial(socket)?, open(file)?.as_fd()),
        ["send-connection", socket, address, token] => {
            println!("token of {} bytes", std::fs::read(token)?.len());
            let address: SocketAddr = address.parse()?;
            let connection = TcpStream::connect(address).context("connect")?;
            // Its line is out before the next one's.
            thread::sleep(Duration::from_millis(500));
            passing::send(&passing::dial(socket)?, connection.as_fd())
        }
        ["take", pid, descriptor] => {
            let pid = Pid::from_raw(pid.parse()?).context("no pid")?;
            let process = pidfd_open(pid, PidfdFlags::empty())?;
            let taken = pidfd_getfd(&process, descriptor.parse()?, PidfdGetfdFlags::empty())
                .context("pidfd_getfd")?;
            println!("{} bytes", size(taken)?);
            Ok(())
        }
        ["within", file] => within(&open(file)?),
        ["juggle", times, file] => {
            let file = open(file)?;
            let (from, to) = UnixStream::pair()?;
            for _ in 0..times.parse::<u64>()? {
                passing::send(&from, file.as_fd())?;
                drop(passing::receive(&to)?);
            }
            Ok(())
        }
        _ => bail!(USAGE),
    }
}

fn open(path: &str) -> Result<File> {
    File::open(path).with_context(|| path.to_owned())
}

/// For as long as this process lives.
fn map(file: File) -> Result<()> {
    let length = usize::try_from(file.metadata()?.len())?;
    // SAFETY: the kernel chooses the place, and nothing refers to it.
    unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            length,
            rustix::mm::ProtFlags::READ,
            rustix::mm::MapFlags::PRIVATE,
            file,
            0,
        )
    }
    .context("map the file")?;
    Ok(())
}

/// Reads a file to its end; of a socket there is nothing to read.
fn size(descriptor: OwnedFd) -> Result<usize> {
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&descriptor)?.st_mode);
    if kind == rustix::fs::FileType::Socket {
        return Ok(0);
    }
    let length = File::from(descriptor).read_to_end(&mut Vec::new())?;
    ensure!(length > 0, "nothing could be read");
    Ok(length)
}

fn within(file: &File) -> Result<()> {
    let (from, to) = UnixStream::pair()?;
    match SingleThreaded::check()?.fork()? {
        Fork::Parent(child) => {
            passing::send(&from, file.as_fd())?;
            let status = rustix::process::waitpid(Some(child), WaitOptions::empty())?;
            ensure!(
                status.is_some_and(|(_, status)| status.exit_status() == Some(0)),
                "the other process failed"
            );
            Ok(())
        }
        Fork::Child => {
            println!("{} bytes", size(passing::receive(&to)?)?);
            Ok(())
        }
    }
}
