//! A few operations through an io_uring, each waited for.

use std::{
    ffi::CStr,
    io,
    net::SocketAddrV4,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use io_uring::{
    IoUring, opcode, squeue,
    types::{DestinationSlot, Fd, Fixed, OpenHow},
};

/// Who carries an operation out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Whoever submits it, where it need not wait.
    Submitter,
    /// A worker thread of the kernel's (`iou-wrk`).
    Worker,
    /// The thread that polls the queue (`iou-sqp`).
    Poller,
}

pub struct Ring {
    ring: IoUring,
    by: By,
}

impl Ring {
    pub fn new(by: By) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        if by == By::Poller {
            builder.setup_sqpoll(1_000);
        }
        Ok(Self {
            ring: builder.build(8)?,
            by,
        })
    }

    /// `openat`, read-only.
    pub fn open(&mut self, path: &CStr) -> io::Result<OwnedFd> {
        let entry = opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr())
            .flags(libc::O_CLOEXEC)
            .build();
        // SAFETY: the path lives until the operation has ended.
        let fd = unsafe { self.perform(entry) }?;
        // SAFETY: the kernel just gave it to this process, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// `openat2`, read-only.
    pub fn open2(&mut self, path: &CStr) -> io::Result<OwnedFd> {
        let how = OpenHow::new().flags(libc::O_CLOEXEC as u64);
        let entry = opcode::OpenAt2::new(Fd(libc::AT_FDCWD), path.as_ptr(), &raw const how).build();
        // SAFETY: path and manner live until the operation has ended.
        let fd = unsafe { self.perform(entry) }?;
        // SAFETY: the kernel just gave it to this process, and nobody else knows of it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// One empty slot, for a direct descriptor.
    pub fn add_slot(&mut self) -> io::Result<()> {
        self.ring.submitter().register_files(&[-1])
    }

    /// `openat` into a slot of the ring: the process's own table never holds a descriptor.
    pub fn open_direct(&mut self, path: &CStr) -> io::Result<()> {
        self.add_slot()?;
        let entry = opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr())
            .file_index(Some(slot()?))
            .build();
        // SAFETY: the path lives until the operation has ended.
        match unsafe { self.perform(entry) }? {
            0 => Ok(()),
            // Before Linux 5.15: the slot is not looked at.
            _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        }
    }

    /// Hands what [`Ring::open_direct`] opened to another ring, whose slot it takes (`IORING_MSG_SEND_FD`).
    pub fn hand_to(&mut self, other: &Self) -> io::Result<()> {
        let other = Fd(other.ring.as_raw_fd());
        let entry = opcode::MsgRingSendFd::new(other, Fixed(0), slot()?, 0).build();
        // SAFETY: it points to nothing.
        unsafe { self.perform(entry) }.map(drop)
    }

    /// Waits for what another ring hands over.
    pub fn wait_for_message(&mut self) -> io::Result<()> {
        self.ring.submit_and_wait(1)?;
        let message = self.ring.completion().next();
        message
            .map(drop)
            .ok_or_else(|| io::Error::other("no message"))
    }

    /// Reads what lies in the slot.
    pub fn read_direct(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 16_384];
        let length = buffer.len() as u32;
        let entry = opcode::Read::new(Fixed(0), buffer.as_mut_ptr(), length).build();
        // SAFETY: the buffer lives until the operation has ended, and is so long.
        let length = unsafe { self.perform(entry) }?;
        buffer.truncate(length.unsigned_abs() as usize);
        Ok(buffer)
    }

    pub fn connect(&mut self, socket: BorrowedFd<'_>, to: SocketAddrV4) -> io::Result<()> {
        let address = sockaddr(to);
        let entry = opcode::Connect::new(
            Fd(socket.as_raw_fd()),
            (&raw const address).cast(),
            size_of_val(&address) as u32,
        )
        .build();
        // SAFETY: the address lives until the operation has ended.
        unsafe { self.perform(entry) }.map(drop)
    }

    /// `sendmsg` with `MSG_FASTOPEN`: connects, too.
    pub fn send_fast(
        &mut self,
        socket: BorrowedFd<'_>,
        to: SocketAddrV4,
        data: &[u8],
    ) -> io::Result<()> {
        let mut address = sockaddr(to);
        let mut part = libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };
        // SAFETY: all zeroes are a message without anything.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_name = (&raw mut address).cast();
        message.msg_namelen = size_of_val(&address) as u32;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        let entry = opcode::SendMsg::new(Fd(socket.as_raw_fd()), &raw const message)
            .flags(libc::MSG_FASTOPEN.cast_unsigned())
            .build();
        // SAFETY: message, address and data live until the operation has ended.
        unsafe { self.perform(entry) }.map(drop)
    }

    /// # Safety
    /// What the entry points to must live until this returns.
    unsafe fn perform(&mut self, entry: squeue::Entry) -> io::Result<i32> {
        let entry = match self.by {
            By::Worker => entry.flags(squeue::Flags::ASYNC),
            By::Submitter | By::Poller => entry,
        };
        // SAFETY: as promised by the caller.
        unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        self.ring.submit_and_wait(1)?;
        let done = self.ring.completion().next();
        let result = done.ok_or_else(|| io::Error::other("no completion"))?;
        match result.result() {
            error if error < 0 => Err(io::Error::from_raw_os_error(-error)),
            value => Ok(value),
        }
    }
}

fn slot() -> io::Result<DestinationSlot> {
    DestinationSlot::try_from_slot_target(0)
        .map_err(|slot| io::Error::other(format!("no slot {slot}")))
}

fn sockaddr(to: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: to.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(to.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}
