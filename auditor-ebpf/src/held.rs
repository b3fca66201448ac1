//! What was open before the probes were: iterators over all processes' descriptors and mappings. They run in the context of
//! the auditor, which reads what they write.
//!
//! aya-ebpf has no macro for this program type, nor a context: that is a structure of 8-byte fields (kernel/bpf/task_iter.c
//! `bpf_iter__task_file`, `bpf_iter__task_vma`), the same on every kernel.

use core::ffi::c_void;

use auditor_common::{
    ConnectKey, ConnectState, EndpointKey, HeldRecord, TupleState, backend, class, held, kind,
};
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, generated::bpf_seq_write};

use crate::{
    accept,
    connect::{IPPROTO_TCP, TCP_CLOSE, TCP_ESTABLISHED, net_ns, tuple},
    kernel::{Address, Probed, off, pointer, read, setting},
    maps::{CONNECTS, ENDPOINTS, HELD, TUPLES, header},
    task::{cgroup_id, describe_other},
    token_file::{FMODE_PATH, S_IFMT, token_file},
};

const S_IFSOCK: u16 = 0o140_000;
/// include/net/tcp_states.h
const TCP_LISTEN: u8 = 10;
/// include/uapi/linux/bpf.h
const BPF_NOEXIST: u64 = 1;

/// `struct bpf_iter_meta *meta; struct task_struct *task; u32 fd; struct file *file`
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn held_files(ctx: *mut c_void) -> i32 {
    let task = unsafe { field::<1>(ctx) };
    let file = unsafe { field::<3>(ctx) };
    // The last call is one without an object.
    if task.is_null() || file.is_null() {
        return 0;
    }
    let inode = unsafe { pointer(file, off!(file_inode)) };
    if unsafe { read::<u16>(inode, off!(inode_mode)) } & S_IFMT == S_IFSOCK {
        unsafe { learn_connection(file, task) };
        return 0;
    }
    // Nothing can be read through it, and opening it was no open.
    if unsafe { read::<u32>(file, off!(file_mode)) } & FMODE_PATH == 0 {
        unsafe { tell(ctx, task, file, held::DESCRIPTOR) };
    }
    0
}

/// `struct bpf_iter_meta *meta; struct task_struct *task; struct vm_area_struct *vma`
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
pub extern "C" fn held_maps(ctx: *mut c_void) -> i32 {
    let task = unsafe { field::<1>(ctx) };
    let vma = unsafe { field::<2>(ctx) };
    if task.is_null() || vma.is_null() {
        return 0;
    }
    let file = unsafe { pointer(vma, off!(vma_file)) };
    if !file.is_null() {
        unsafe { tell(ctx, task, file, held::MAPPING) };
    }
    0
}

#[inline(always)]
unsafe fn field<const INDEX: usize>(ctx: *mut c_void) -> Address {
    (unsafe { core::ptr::read_volatile(ctx.cast::<u64>().add(INDEX)) }) as Address
}

#[inline(always)]
unsafe fn tell(ctx: *mut c_void, task: Address, file: Address, how: u32) {
    let Some(file) = (unsafe { token_file::<Probed>(file) }) else {
        return;
    };
    if file.class == class::CANARY
        && unsafe { read::<u32>(task, off!(task_tgid)) } != setting!(own_tgid)
    {
        return;
    }
    let Some(record) = HELD.get_ptr_mut(0) else {
        return;
    };
    unsafe {
        file.note_class(&raw mut (*record).file);
        (*record).header = header::<HeldRecord>(kind::HELD, backend::ITERATOR);
        (*record).how = how;
        (*record).reserved = 0;
        let top_mnt_ns = describe_other(task, &raw mut (*record).task);
        file.describe(&raw mut (*record).file, top_mnt_ns);
        let meta = field::<0>(ctx);
        let seq = core::ptr::read_volatile(meta.cast::<u64>());
        // Where it does not fit, the kernel comes again with the same object at the next read (kernel/bpf/bpf_iter.c): nothing is
        // lost, and nothing to be counted here.
        bpf_seq_write(
            seq as *mut _,
            record.cast_const().cast(),
            size_of::<HeldRecord>() as u32,
        );
    }
}

/// A connection to a watched endpoint that is older than the probes: known from now on, as if it had been made now.
#[inline(always)]
unsafe fn learn_connection(file: Address, task: Address) {
    let socket = unsafe { pointer(file, off!(file_private_data)) };
    let sk = unsafe { pointer(socket, off!(socket_sk)) };
    if unsafe { read::<u16>(sk, off!(sock_protocol)) } != IPPROTO_TCP {
        return;
    }
    let state = unsafe { read::<u8>(sk, off!(sock_state)) };
    if state == TCP_CLOSE as u8 || state == TCP_LISTEN {
        return;
    }
    let Some(tuple) = (unsafe { tuple(sk) }) else {
        return;
    };
    let key = EndpointKey {
        addr: tuple.dst,
        port: tuple.dst_port,
    };
    let Some(endpoint) = (unsafe { ENDPOINTS.get(key) }) else {
        return;
    };
    let endpoint = *endpoint;
    // Whoever holds it now may have been given it.
    let made_in = unsafe { accept::cgroup_id(sk) };
    let connect = ConnectState {
        time: unsafe { bpf_ktime_get_boot_ns() },
        cgroup_id: if made_in == 0 {
            unsafe { cgroup_id(task) }
        } else {
            made_in
        },
        tuple,
        net_ns: unsafe { net_ns(sk) },
        endpoint,
        folded: 0,
        reserved: 0,
    };
    if CONNECTS.insert(sk as u64, connect, BPF_NOEXIST).is_err() {
        return;
    }
    if state == TCP_ESTABLISHED as u8 {
        let established = TupleState {
            key: ConnectKey {
                socket: sk as u64,
                time: connect.time,
            },
            cgroup_id: connect.cgroup_id,
            net_ns: connect.net_ns,
            endpoint,
            folded: 0,
            reserved: 0,
        };
        let _ = TUPLES.insert(tuple, established, BPF_NOEXIST);
    }
    // It ended meanwhile, which nobody may have told: the address goes to another socket.
    if unsafe { read::<u8>(sk, off!(sock_state)) } == TCP_CLOSE as u8 {
        let _ = TUPLES.remove(tuple);
        let _ = CONNECTS.remove(sk as u64);
    }
}
