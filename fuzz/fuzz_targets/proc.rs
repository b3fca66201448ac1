//! Files of `/proc` that userspace's own look reads: status, stat, cgroup, cmdline, net/tcp, maps, fdinfo.
#![no_main]

use auditor::fuzzing::{status, table};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // An argument of no letter takes one byte here and 24 as a `String`, in a `Vec` that has twice its length and at that moment
    // its old half beside it.
    let limit = 3 * 24 * data.len() + 4096;
    let found = fuzz::bounded(limit, || status(data));
    assert!(found.args.len() <= data.len());
    let lines = data.split(|byte| *byte == b'\n').count();
    let found = fuzz::bounded(limit, || table(data));
    assert!(found.listeners.len() <= lines && found.mappings.len() <= lines);

    // A process's name may be what it likes, and changes nothing of the rest.
    let name: Vec<u8> = data.iter().copied().filter(|b| *b != 0).take(15).collect();
    let mut stat = b"7 (".to_vec();
    stat.extend(&name);
    stat.extend(b") S 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 1 0 1234 0 0 18446744073709551615 0");
    assert_eq!(status(&stat).start_ns, Some(12_340_000_000));
    // fs/proc/array.c `proc_task_name`
    let escaped = name.iter().flat_map(|byte| match byte {
        b'\n' => b"\\n".to_vec(),
        b'\\' => b"\\\\".to_vec(),
        byte => vec![*byte],
    });
    let mut text = b"Name:\t".to_vec();
    text.extend(escaped);
    text.extend(
        b"\nUmask:\t0022\nPPid:\t1\nUid:\t5\t5\t5\t5\nNSpid:\t70\t7\nCapEff:\t00000000a80425fb\n",
    );
    let found = status(&text);
    assert_eq!(
        (found.uid, found.capabilities),
        (Some(5), Some(0xa804_25fb))
    );
    assert_eq!(found.pids.as_deref(), Some([70, 7].as_slice()));
});
