//! Kernel records: bytes of the ring buffer, to a line.
#![no_main]

use auditor::{
    fuzzing,
    node::Clock,
    probe::{DecodeError, decode},
};
use libfuzzer_sys::fuzz_target;
use zerocopy::IntoBytes as _;

// The first two bytes are a kind: it is written into the header with the length that belongs to it, so that most inputs come
// through; the kind 0xffff leaves the header alone.
fuzz_target!(|data: &[u8]| {
    let Some((said, data)) = data.split_first_chunk::<2>() else {
        return;
    };
    let said = u16::from_le_bytes(*said);
    let whole = length(said);
    let length = whole.map_or(data.len(), |length| length.max(data.len()));
    let mut words = vec![0_u64; length.div_ceil(8)];
    words.as_mut_bytes()[..data.len()].copy_from_slice(data);
    let bytes = words.as_mut_bytes();
    if let Some(whole) = whole {
        bytes[..2].copy_from_slice(&said.to_ne_bytes());
        bytes[4..8].copy_from_slice(&(whole as u32).to_ne_bytes());
    }
    let clock = Clock::now();
    let found = fuzz::bounded(256 << 10, || {
        decode(bytes).map(|record| fuzzing::process(&record, &clock))
    });
    assert!(whole.is_none() || found.is_ok(), "{found:?}");
    if let Ok(Some(process)) = found {
        let line = fuzz::line(&fuzzing::line(fuzzing::theft(process), "node").expect("it fits"));
        assert!(line["process"]["pid"].is_u64());
    }
});

/// As the decoder itself has it: a header alone is too short for any record.
fn length(of: u16) -> Option<usize> {
    let mut words = [0_u64; size_of::<auditor_common::Header>().div_ceil(8)];
    words.as_mut_bytes()[..2].copy_from_slice(&of.to_ne_bytes());
    match decode(words.as_bytes()) {
        Err(DecodeError::Length { expected, .. }) => Some(expected),
        _ => None,
    }
}
