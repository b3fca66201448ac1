//! `/proc/PID/mountinfo`: mount points are anybody's to name.
#![no_main]

use std::os::unix::ffi::OsStrExt as _;

use auditor::fuzzing::mountinfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let lines = data.split(|byte| *byte == b'\n').count();
    let mounts = fuzz::bounded(16 * data.len() + 512 * lines + 4096, || mountinfo(data));
    assert!(mounts.len() <= lines);
    for mount in mounts {
        let (major, minor, root, point, kind) = &mount;
        assert!(*major <= 0xfff && *minor <= 0xf_ffff);
        // As the kernel would write it, it is the same mount.
        let mut line = format!("36 35 {major}:{minor} ").into_bytes();
        line.extend(mangle(root));
        line.push(b' ');
        line.extend(mangle(point.as_os_str().as_bytes()));
        line.extend(b" rw,noatime master:1 - ");
        line.extend(kind.as_bytes());
        line.extend(b" /dev/root rw\n");
        assert_eq!(mountinfo(&line), [mount]);
    }
});

/// fs/proc_namespace.c `mangle`: blanks, newlines, backslashes and hashes in octal.
fn mangle(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in text {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => out.extend(format!("\\{byte:03o}").bytes()),
            _ => out.push(*byte),
        }
    }
    out
}
