//! Kernel BTF: offsets of members.
#![no_main]

use auditor::fuzzing::btf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // 12 bytes are the smallest type.
    let limit = 64 * data.len() + 64 * 1024;
    if let Ok(offsets) = fuzz::bounded(limit, || btf(data)) {
        assert!(!offsets.is_empty());
    }
});
