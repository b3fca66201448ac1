//! Has a descriptor put into a process by another one, which answers for its system call (seccomp's user notification).
//!
//! `addfd supervise SOCKET FILE` (a container's init: whoever connects there and asks gets the file), `addfd ask SOCKET`.

use std::{
    fs::File,
    io::Read,
    os::{
        fd::{AsFd, FromRawFd},
        unix::net::{UnixListener, UnixStream},
    },
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use lab::{
    sys::{passing, seccomp},
    wire::serve,
};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["supervise", socket, file] => {
            let listener = UnixListener::bind(socket).context(socket.to_owned())?;
            let file = file.to_owned();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if let Err(error) = answer(&stream, &file) {
                        eprintln!("addfd: {error:#}");
                    }
                }
            });
            serve(|_: String| Ok(0))
        }
        ["ask", socket] => ask(socket),
        _ => bail!("usage: addfd supervise SOCKET FILE | addfd ask SOCKET"),
    }
}

fn answer(stream: &UnixStream, path: &str) -> Result<()> {
    let listener = passing::receive(stream)?;
    seccomp::answer(listener.as_fd(), || File::open(path)).with_context(|| path.to_owned())
}

/// getppid is answered by whoever listens at the socket.
fn ask(socket: &str) -> Result<()> {
    let stream = passing::dial(socket)?;
    // From now on this thread's getppid is asked there.
    let listener = seccomp::defer(libc::SYS_getppid).context("seccomp")?;
    passing::send(&stream, listener.as_fd())?;
    drop(listener);
    // SAFETY: takes nothing, and what it gives is checked.
    let number = unsafe { libc::syscall(libc::SYS_getppid) };
    ensure!(number > 2, "the answer was {number}");
    // SAFETY: the supervisor has put a descriptor there that nobody else knows of.
    let mut file = unsafe { File::from_raw_fd(i32::try_from(number)?) };
    let length = file.read_to_end(&mut Vec::new())?;
    ensure!(length > 0, "nothing could be read");
    println!("{length} bytes");
    Ok(())
}
