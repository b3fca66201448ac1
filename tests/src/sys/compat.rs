//! 32-bit system calls (`int 0x80`) of a 64-bit process: another entry into the kernel, with other numbers, than the one that a
//! watcher of 64-bit system calls looks at. x86-64 only.

use std::{
    arch::asm,
    ffi::CStr,
    io,
    net::SocketAddrV4,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
};

// arch/x86/entry/syscalls/syscall_32.tbl; linux/net.h for the last.
const GETPID: u32 = 20;
const SOCKETCALL: u32 = 102;
const OPENAT: u32 = 295;
const SYS_CONNECT: u32 = 3;

/// Ends in SIGSEGV where the kernel was booted without 32-bit emulation.
pub fn getpid() -> io::Result<u32> {
    // SAFETY: takes no arguments.
    unsafe { int80(GETPID, [0; 4]) }
}

/// `openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC)`
pub fn open(path: &CStr) -> io::Result<OwnedFd> {
    let low = Low::holding(path.to_bytes_with_nul())?;
    let flags = libc::O_CLOEXEC.cast_unsigned();
    let args = [libc::AT_FDCWD.cast_unsigned(), low.address(), flags, 0];
    // SAFETY: the address is that of a live string with its NUL.
    let fd = unsafe { int80(OPENAT, args) }?;
    // SAFETY: the kernel just gave it to this process, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd.cast_signed()) })
}

/// `socketcall(SYS_CONNECT, {socket, address, 16})`
pub fn connect(socket: BorrowedFd<'_>, to: SocketAddrV4) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(28);
    bytes.extend((libc::AF_INET as u16).to_ne_bytes());
    bytes.extend(to.port().to_be_bytes());
    bytes.extend(to.ip().octets());
    bytes.resize(16, 0);
    let mut low = Low::holding(&[0; 28])?;
    let address = low.address();
    for word in [socket.as_raw_fd().cast_unsigned(), address, 16] {
        bytes.extend(word.to_ne_bytes());
    }
    low.write(&bytes);
    // SAFETY: at 16 are three live words, of which the second points at a live address of 16 bytes.
    unsafe { int80(SOCKETCALL, [SYS_CONNECT, address + 16, 0, 0]) }.map(drop)
}

/// # Safety
/// As of the call; what the arguments point to must lie below 4 GiB.
unsafe fn int80(number: u32, [a, b, c, d]: [u32; 4]) -> io::Result<u32> {
    let result: u64;
    // SAFETY: as promised by the caller. rbx, which the compiler keeps, is put back; r8 to r11 may be cleared.
    unsafe {
        asm!(
            "xchg {a}, rbx",
            "int 0x80",
            "xchg {a}, rbx",
            a = inout(reg) u64::from(a) => _,
            inlateout("rax") u64::from(number) => result,
            in("rcx") u64::from(b),
            in("rdx") u64::from(c),
            in("rsi") u64::from(d),
            in("rdi") 0_u64,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    match (result as u32).cast_signed() {
        error @ -4095..=-1 => Err(io::Error::from_raw_os_error(-error)),
        value => Ok(value.cast_unsigned()),
    }
}

/// A page below 4 GiB.
struct Low(*mut u8);

const PAGE: usize = 4096;

impl Low {
    fn holding(bytes: &[u8]) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses.
        let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, access, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut this = Self(page.cast());
        this.write(bytes);
        Ok(this)
    }

    fn write(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= PAGE, "longer than a page");
        // SAFETY: the page is this object's alone, and long enough.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0, bytes.len()) };
    }

    fn address(&self) -> u32 {
        self.0.addr() as u32
    }
}

impl Drop for Low {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the page any more.
        unsafe { libc::munmap(self.0.cast(), PAGE) };
    }
}
