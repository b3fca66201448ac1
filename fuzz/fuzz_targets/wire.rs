//! Kernel records: bytes of the ring buffer, to a line.
#![no_main]

use auditor::{fuzzing, node::Clock, probe::decode};
use auditor_common::kind;
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

fn length(of: u16) -> Option<usize> {
    Some(match of {
        kind::OPEN => size_of::<auditor_common::OpenRecord>(),
        kind::CONNECT => size_of::<auditor_common::ConnectRecord>(),
        kind::OUTCOME | kind::CLOSED => size_of::<auditor_common::OutcomeRecord>(),
        kind::ACCEPT => size_of::<auditor_common::AcceptRecord>(),
        kind::LISTEN => size_of::<auditor_common::ListenRecord>(),
        kind::EXEC => size_of::<auditor_common::ExecRecord>(),
        kind::DENIED => size_of::<auditor_common::DeniedRecord>(),
        kind::MEMORY => size_of::<auditor_common::MemoryRecord>(),
        kind::SOCKET_CREATE => size_of::<auditor_common::SocketRecord>(),
        kind::RECEIVED_FILE | kind::RECEIVED_SOCKET => size_of::<auditor_common::ReceivedRecord>(),
        kind::HELD => size_of::<auditor_common::HeldRecord>(),
        kind::CGROUP_MKDIR | kind::CGROUP_RMDIR | kind::CGROUP_ATTACH => {
            size_of::<auditor_common::CgroupRecord>()
        }
        _ => return None,
    })
}
