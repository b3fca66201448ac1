//! Flood control: see [`auditor_common::FloodKey`]. It counts each time that it says no; whoever asks counts by kind.

use auditor_common::{Bucket, FloodKey, FloodState, PER_CGROUP, PER_EXECUTABLE, PER_VICTIM};
use aya_ebpf::helpers::{bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns};

use crate::{
    kernel::{forget, setting},
    maps::{CGROUP_PODS, FLOOD, add_one},
    task::{own_executable, session},
};

/// include/uapi/linux/bpf.h
const BPF_NOEXIST: u64 = 1;

const NEW: FloodState = FloodState {
    tat: 0,
    folded: 0,
    first: 0,
    last: 0,
};

/// Whether the kernel half does not know that `current` is of the pod that owns the volume: 1 also where either is unknown.
#[inline(always)]
pub fn stranger(owner: u64) -> u32 {
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let pod = match unsafe { CGROUP_PODS.get(cgroup) } {
        Some(pod) => *pod,
        None => 0,
    };
    forget(u32::from(owner == 0 || pod != owner))
}

#[inline(always)]
fn forget_bucket(bucket: Bucket) -> Bucket {
    Bucket {
        interval: forget(bucket.interval),
        tolerance: forget(bucket.tolerance),
    }
}

/// Whether one more of `current`'s doings of that kind is folded. The verifier knows nothing of the answer.
#[inline(always)]
pub unsafe fn is_folded(kind: u16, object: u64, dev: u32, stranger: u32) -> bool {
    if setting!(no_flood_control) != 0 {
        return false;
    }
    let now = unsafe { bpf_ktime_get_boot_ns() };
    let mut key = FloodKey {
        cgroup_id: unsafe { bpf_get_current_cgroup_id() },
        object: if stranger != 0 { object } else { 0 },
        exe_ino: 0,
        exe_dev: 0,
        dev: if stranger != 0 { dev } else { 0 },
        kind,
        stranger: stranger as u16,
        session: forget(unsafe { session() }),
    };
    let all = if stranger != 0 {
        PER_VICTIM
    } else {
        PER_CGROUP
    };
    let all = forget_bucket(all);
    let whole = entry(&key);
    if let Some(whole) = whole
        && all.is_full(unsafe { (*whole).tat }, now)
    {
        unsafe { fold(whole, now) };
        return forget(1_u32) != 0;
    }
    (key.exe_dev, key.exe_ino) = unsafe { own_executable() };
    key.object = object;
    key.dev = dev;
    if let Some(one) = entry(&key) {
        let tat = unsafe { (*one).tat };
        if PER_EXECUTABLE.is_full(tat, now) {
            unsafe { fold(one, now) };
            return forget(1_u32) != 0;
        }
        unsafe { (*one).tat = PER_EXECUTABLE.after(tat, now) };
    }
    if let Some(whole) = whole {
        unsafe { (*whole).tat = all.after((*whole).tat, now) };
    }
    forget(0_u32) != 0
}

/// What belongs to a connect that was folded. False where there is no room to count it: then it is told.
#[inline(always)]
pub fn fold_with_connect(kind: u16, cgroup_id: u64) -> bool {
    let key = FloodKey {
        cgroup_id,
        object: 0,
        exe_ino: 0,
        exe_dev: 0,
        dev: 0,
        kind,
        stranger: 0,
        session: 0,
    };
    let Some(state) = entry(&key) else {
        return false;
    };
    unsafe { fold(state, bpf_ktime_get_boot_ns()) };
    true
}

/// The key's entry, made where there is none; none where the map is full.
#[inline(always)]
fn entry(key: &FloodKey) -> Option<*mut FloodState> {
    if let Some(state) = FLOOD.get_ptr_mut(key) {
        return Some(state);
    }
    // Another CPU may have made it meanwhile.
    let _ = FLOOD.insert(key, NEW, BPF_NOEXIST);
    FLOOD.get_ptr_mut(key)
}

#[inline(always)]
unsafe fn fold(state: *mut FloodState, now: u64) {
    unsafe {
        if (*state).folded == 0 {
            (*state).first = now;
        }
        (*state).last = now;
        add_one(&raw mut (*state).folded);
    }
}
