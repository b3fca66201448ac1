//! Reading kernel memory at offsets that userspace resolved from BTF.

use auditor_common::{ABSENT, Config, Offsets};
use aya_ebpf::{Global, helpers::generated::bpf_probe_read_kernel};

/// Set by userspace before load; in frozen `.rodata`, so the verifier knows each value as a constant.
#[unsafe(no_mangle)]
pub static OFFSETS: Global<Offsets> = Global::new(Offsets::absent());

#[unsafe(no_mangle)]
pub static CONFIG: Global<Config> = Global::new(Config {
    syscalls: auditor_common::SyscallNumbers {
        open: u64::MAX,
        creat: u64::MAX,
        openat: u64::MAX,
        openat2: u64::MAX,
        open_by_handle_at: u64::MAX,
    },
    own_tgid: 0,
    no_flood_control: 0,
});

/// The 32-bit word at byte `at` of a global: one field at a time, or all of them land on the 512-byte stack.
#[inline(always)]
pub fn word_of<T>(global: &'static Global<T>, at: usize) -> u32 {
    // SAFETY: `off!` and `setting!` pass `offset_of!` of a field of `T`.
    unsafe { core::ptr::read_volatile((&raw const *global).cast::<u8>().add(at).cast()) }
}

#[inline(always)]
pub fn double_word_of<T>(global: &'static Global<T>, at: usize) -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::read_volatile((&raw const *global).cast::<u8>().add(at).cast()) }
}

/// One offset, as a constant to the verifier.
macro_rules! off {
    ($field:ident) => {
        $crate::kernel::word_of(
            &$crate::kernel::OFFSETS,
            core::mem::offset_of!(auditor_common::Offsets, $field),
        )
    };
}
pub(crate) use off;

/// One 32-bit setting, as a constant to the verifier.
macro_rules! setting {
    ($field:ident) => {
        $crate::kernel::word_of(
            &$crate::kernel::CONFIG,
            core::mem::offset_of!(auditor_common::Config, $field),
        )
    };
}
pub(crate) use setting;

/// One system call number.
macro_rules! syscall {
    ($field:ident) => {
        $crate::kernel::double_word_of(
            &$crate::kernel::CONFIG,
            core::mem::offset_of!(auditor_common::Config, syscalls.$field),
        )
    };
}
pub(crate) use syscall;

/// A kernel address; may be null or stale: reading through it yields 0, never a fault.
pub type Address = *const u8;

/// How a program may read kernel memory.
pub trait Reader {
    /// # Safety
    /// For [`Typed`], `base` must be a pointer whose BTF type the verifier knows.
    unsafe fn read<T: Copy + Default>(base: Address, offset: u32) -> T;

    #[inline(always)]
    unsafe fn pointer(base: Address, offset: u32) -> Address {
        (unsafe { Self::read::<u64>(base, offset) }) as Address
    }
}

/// Plain loads through BTF-typed pointers (fentry and BTF tracepoint arguments): a third of a helper call's cost, and the
/// verifier refuses an offset that is wrong.
pub struct Typed;

impl Reader for Typed {
    #[inline(always)]
    unsafe fn read<T: Copy + Default>(base: Address, offset: u32) -> T {
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
    }
}

/// `bpf_probe_read_kernel`: from every program type, through any address.
pub struct Probed;

impl Reader for Probed {
    #[inline(always)]
    unsafe fn read<T: Copy + Default>(base: Address, offset: u32) -> T {
        let mut value = T::default();
        // A fault leaves zeroes (kernel/trace/bpf_trace.c); looking at the return code would double the verifier's paths
        // with every read.
        unsafe {
            bpf_probe_read_kernel(
                (&raw mut value).cast(),
                size_of::<T>() as u32,
                base.wrapping_add(offset as usize).cast(),
            )
        };
        value
    }
}

/// [`Probed`] reads, as functions: everything off the hot path uses these.
#[inline(always)]
pub unsafe fn read<T: Copy + Default>(base: Address, offset: u32) -> T {
    unsafe { Probed::read(base, offset) }
}

/// The same value, of which the verifier knows nothing any more: what comparisons taught it, it would follow to the program's end, each
/// combination by itself. For what is still needed there: it costs a helper call.
#[inline(always)]
pub fn forget<T: Copy + Default>(value: T) -> T {
    unsafe { read((&raw const value).cast(), 0) }
}

#[inline(always)]
pub unsafe fn pointer(base: Address, offset: u32) -> Address {
    unsafe { Probed::pointer(base, offset) }
}

/// What the function returned that a kretprobe is on: on arm64 it stands where the first argument was.
#[inline(always)]
pub unsafe fn result(regs: Address) -> u64 {
    let named = off!(regs_result);
    let at = if named == ABSENT {
        off!(regs_arg0)
    } else {
        named
    };
    unsafe { read(regs, at) }
}

/// An argument of the function that a kprobe is on: on arm64 registers follow each other, on x86 each has a name.
#[inline(always)]
pub unsafe fn argument<const INDEX: u32>(regs: Address) -> u64 {
    let named = match INDEX {
        0 => off!(regs_arg0),
        1 => off!(regs_arg1),
        2 => off!(regs_arg2),
        _ => off!(regs_arg3),
    };
    if named == ABSENT {
        unsafe { read(regs, off!(regs_arg0) + 8 * INDEX) }
    } else {
        unsafe { read(regs, named) }
    }
}
