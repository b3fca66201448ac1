//! Has a descriptor put into a process by another one, which answers for its system call (seccomp's user notification).
//!
//! `addfd supervise SOCKET FILE` (a container's init: whoever connects there and asks gets the file), `addfd ask SOCKET`.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lab::{sys::passing, wire::serve};

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
    // SAFETY: all zeroes is what the kernel wants to be given (seccomp_unotify(2)).
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    control(&listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut asked).context("hear what is asked")?;
    let file = File::open(path).with_context(|| path.to_owned())?;
    let mut add = libc::seccomp_notif_addfd {
        id: asked.id,
        flags: 0,
        srcfd: file.as_raw_fd().cast_unsigned(),
        newfd: 0,
        newfd_flags: 0,
    };
    let number = control(&listener, libc::SECCOMP_IOCTL_NOTIF_ADDFD, &mut add)
        .context("add a descriptor")?;
    let mut answer = libc::seccomp_notif_resp {
        id: asked.id,
        val: number.into(),
        error: 0,
        flags: 0,
    };
    control(&listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer).context("answer")?;
    Ok(())
}

/// getppid is answered by whoever listens at the socket.
fn ask(socket: &str) -> Result<()> {
    let stream = dial(socket)?;
    passing::send(&stream, listener()?.as_fd())?;
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

fn dial(path: &str) -> Result<UnixStream> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match UnixStream::connect(path) {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            done => return done.with_context(|| path.to_owned()),
        }
    }
}

/// From now on this thread's getppid is asked there.
fn listener() -> Result<OwnedFd> {
    let getppid = u32::try_from(libc::SYS_getppid)?;
    let statement = |code: u32, k: u32, jump_false: u8| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: jump_false,
        k,
    };
    let mut filter = [
        // `seccomp_data.nr` is the first word.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, getppid, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true)?;
    // SAFETY: the program lives until the call returns, which copies it.
    let number = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    if number < 0 {
        return Err(io::Error::last_os_error()).context("seccomp");
    }
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(number)?) })
}

fn control<T>(descriptor: &OwnedFd, request: libc::Ioctl, argument: &mut T) -> io::Result<i32> {
    // SAFETY: each request comes with the structure that it is defined for, which outlives the call.
    let result = unsafe {
        libc::ioctl(
            descriptor.as_raw_fd(),
            request,
            std::ptr::from_mut(argument),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
