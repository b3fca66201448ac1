//! All maps of the kernel half, and the counters.

use auditor_common::{
    CANARY_ENDPOINT, COUNTERS, ConnectAttempt, ConnectState, Counter, EndpointKey, FLOOD_KEYS,
    FloodKey, FloodState, Header, HeldRecord, MemoryKey, ReceivedRecord, SocketKey,
    TUPLES as TUPLE_COUNT, TakenFrom, Tuple, TupleState, VolumeEntry,
};
use aya_ebpf::{
    helpers::bpf_ktime_get_boot_ns,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};

use crate::token_file::is_own;

/// Superblock's `s_dev` to what it is. Userspace writes it; some 4 volumes a pod, 110 pods, and room for churn.
#[map]
pub static VOLUMES: HashMap<u32, VolumeEntry> = HashMap::with_max_entries(8192, 0);

/// Watched address and port to the index that userspace knows the endpoint by.
#[map]
pub static ENDPOINTS: HashMap<EndpointKey, u32> = HashMap::with_max_entries(64, 0);

/// Socket's address to its connect.
#[map]
pub static CONNECTS: LruHashMap<u64, ConnectState> = LruHashMap::with_max_entries(16384, 0);

/// Connecting thread's tid to the connect that it is in, until a SYN goes out.
#[map]
pub static ATTEMPTS: LruHashMap<u32, ConnectAttempt> = LruHashMap::with_max_entries(1024, 0);

/// Client's side of a connection to its connect: what the agent accepts is looked up here.
#[map]
pub static TUPLES: LruHashMap<Tuple, TupleState> = LruHashMap::with_max_entries(TUPLE_COUNT, 0);

/// Who looked into whose memory, to when that was last told (CLOCK_BOOTTIME, ns): a profiler does it thousands of times a second.
#[map]
pub static MEMORY_SEEN: LruHashMap<MemoryKey, u64> = LruHashMap::with_max_entries(8192, 0);

/// Acting thread's tid to whom it was last allowed to look into.
#[map]
pub static TAKEN_FROM: LruHashMap<u32, TakenFrom> = LruHashMap::with_max_entries(1024, 0);

/// Who asked for which raw socket, to when that was last told.
#[map]
pub static SOCKETS_SEEN: LruHashMap<SocketKey, u64> = LruHashMap::with_max_entries(1024, 0);

/// Cgroup to the id that userspace gave the pod it is of. Containers, their pods' own cgroups, and what they make inside.
#[map]
pub static CGROUP_PODS: HashMap<u64, u64> = HashMap::with_max_entries(16384, BPF_F_NO_PREALLOC);

/// Token buckets, and what did not fit into them.
#[map]
pub static FLOOD: HashMap<FloodKey, FloodState> = HashMap::with_max_entries(FLOOD_KEYS, 0);

/// Opens, connects and their outcomes, in the order of this CPU's events.
/// What flood control lets through of a hundred pods at once; the auditor has each ring mapped twice, and resident.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// Opens by whoever the kernel half does not know to be of the volume's own pod, and descriptors that arrive: apart, so that no noise
/// that a pod makes with what is its own crowds out a theft.
#[map]
pub static STRANGERS: RingBuf = RingBuf::with_byte_size(2 << 20, 0);

/// Cgroups made, removed, entered: apart, so that no flood of opens can hide whose they are.
#[map]
pub static LIFECYCLE: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Refused opens: apart, since nobody needs a right to have one refused. A page without `--watch-denied`.
#[map]
pub static DENIED: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Where programs make records that describe a task: too big for the stack; and where a place is reserved in a ring, the verifier of 6.1
/// walks through the description once for each way there, since it takes no two reservations for the same (kernel/bpf/verifier.c `refsafe`).
/// Each program has a slot of its own: no CPU runs one and the same twice at once (kernel/bpf/trampoline.c `prog->active`; under kprobes
/// and tracepoints nothing preempts it).
#[map]
static RECORDS: PerCpuArray<[u64; RECORD_WORDS]> = PerCpuArray::with_max_entries(SLOTS, 0);

/// The biggest record's.
const RECORD_WORDS: usize = size_of::<ReceivedRecord>() / 8;

/// Whose slot of `RECORDS` it is.
#[derive(Clone, Copy)]
pub enum Slot {
    Open,
    Received,
    Connect,
    AttemptV4,
    AttemptV6,
    Listen,
    Memory,
    Socket,
    Denied,
}

const SLOTS: u32 = Slot::Denied as u32 + 1;

/// Where an iterator makes its record, which is too big for the stack. One reads at a time.
#[map]
pub static HELD: Array<HeldRecord> = Array::with_max_entries(1, 0);

/// Not 0 once userspace reads: until the hooks are proven only the auditor's own doings are told, and cgroups' lives, or a flood of
/// others' would crowd out the canaries.
#[map]
pub static LIVE: Array<u32> = Array::with_max_entries(1, 0);

/// See [`Counter`].
#[map]
pub static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(COUNTERS, 0);

/// include/uapi/linux/bpf.h
const BPF_F_NO_PREALLOC: u32 = 1;

/// Where to make a record, which still holds an earlier one. There always is one: only the verifier does not know.
#[inline(always)]
pub fn record<T>(slot: Slot) -> Option<*mut T> {
    const { assert!(size_of::<T>() <= RECORD_WORDS * 8 && align_of::<T>() <= 8) };
    Some(RECORDS.get_ptr_mut(slot as u32)?.cast())
}

/// Whether the ring had room for it.
#[inline(always)]
pub unsafe fn tell<T>(ring: &RingBuf, record: *const T) -> bool {
    ring.output::<T>(unsafe { &*record }, 0).is_ok()
}

/// [`tell`], to the event ring, which it counts where that is full. The endpoint tells whether it is a canary's.
#[inline(always)]
pub unsafe fn tell_at<T>(record: *const T, endpoint: u32) {
    if !unsafe { tell(&EVENTS, record) } {
        count_full_at(endpoint);
    }
}

/// The same for one of `current`'s: one of the auditor's is no loss, and in nobody's account.
#[inline(always)]
pub unsafe fn tell_or_count<T>(record: *const T) -> bool {
    let told = unsafe { tell(&EVENTS, record) };
    if !told {
        count(if is_own() {
            Counter::CanaryRingFull
        } else {
            Counter::EventRingFull
        });
    }
    told
}

#[inline(always)]
pub fn is_live() -> bool {
    LIVE.get(0).is_some_and(|live| *live != 0)
}

/// The event ring was full for one whose endpoint tells whether it is a canary's.
#[inline(always)]
pub fn count_full_at(endpoint: u32) {
    count(if endpoint == CANARY_ENDPOINT {
        Counter::CanaryRingFull
    } else {
        Counter::EventRingFull
    });
}

/// Atomically, as BPF_XADD does on every kernel. The compiler offers no such addition for a target without compare-and-swap.
#[inline(always)]
pub unsafe fn add_one(to: *mut u64) {
    unsafe { core::arch::asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) to, in(reg) 1_u64) };
}

#[inline(always)]
pub fn count(counter: Counter) {
    if let Some(slot) = COUNTS.get_ptr_mut(counter as u32) {
        // Where the kernel preempts a program, another on this CPU adds to the same slot.
        unsafe { add_one(slot) };
    }
}

#[inline(always)]
pub fn header<T>(kind: u16, backend: u16) -> Header {
    Header {
        kind,
        backend,
        len: size_of::<T>() as u32,
        time: unsafe { bpf_ktime_get_boot_ns() },
    }
}
