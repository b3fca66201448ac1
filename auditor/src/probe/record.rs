//! Ring buffer bytes to records: total, bounded, in place.

use auditor_common::{
    AcceptRecord, CANARY_ENDPOINT, CgroupRecord, ConnectRecord, DeniedRecord, ExecRecord, Header,
    HeldRecord, ListenRecord, MemoryRecord, OpenRecord, OutcomeRecord, ReceivedRecord,
    SocketRecord, class, kind,
};
use zerocopy::FromBytes as _;

/// A record in the ring buffer.
#[derive(Debug)]
pub enum Record<'a> {
    Open(&'a OpenRecord),
    Connect(&'a ConnectRecord),
    Outcome(&'a OutcomeRecord),
    Closed(&'a OutcomeRecord),
    Accept(&'a AcceptRecord),
    Listen(&'a ListenRecord),
    Exec(&'a ExecRecord),
    Denied(&'a DeniedRecord),
    Memory(&'a MemoryRecord),
    SocketCreate(&'a SocketRecord),
    ReceivedFile(&'a ReceivedRecord),
    ReceivedSocket(&'a ReceivedRecord),
    Held(&'a HeldRecord),
    CgroupMkdir(&'a CgroupRecord),
    CgroupRmdir(&'a CgroupRecord),
    CgroupAttach(&'a CgroupRecord),
}

impl Record<'_> {
    /// Of the auditor's own test of a hook, which the kernel half counts apart from what matched.
    pub fn is_canary(&self, own_tgid: u32) -> bool {
        match self {
            Self::Open(OpenRecord { file, .. })
            | Self::ReceivedFile(ReceivedRecord { file, .. }) => file.class == class::CANARY,
            Self::Connect(ConnectRecord { endpoint, .. })
            | Self::Outcome(OutcomeRecord { endpoint, .. })
            | Self::Closed(OutcomeRecord { endpoint, .. })
            | Self::Accept(AcceptRecord { endpoint, .. })
            | Self::Listen(ListenRecord { endpoint, .. }) => *endpoint == CANARY_ENDPOINT,
            Self::ReceivedSocket(record) => record.connect.endpoint == CANARY_ENDPOINT,
            Self::Denied(DeniedRecord { task, .. })
            | Self::Memory(MemoryRecord { task, .. })
            | Self::SocketCreate(SocketRecord { task, .. }) => task.pid == own_tgid,
            Self::Exec(_)
            | Self::Held(_)
            | Self::CgroupMkdir(_)
            | Self::CgroupRmdir(_)
            | Self::CgroupAttach(_) => false,
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("record of {0} bytes is shorter than its header")]
    NoHeader(usize),
    #[error("record of unknown kind {0}")]
    Kind(u16),
    #[error("record of kind {kind} has {actual} bytes, says {said}, and should have {expected}")]
    Length {
        kind: u16,
        actual: usize,
        said: u32,
        expected: usize,
    },
}

/// Reads one record. Bytes must be 8-aligned, as the ring buffer's are; others are refused.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, DecodeError> {
    let (header, _) =
        Header::ref_from_prefix(bytes).map_err(|_| DecodeError::NoHeader(bytes.len()))?;
    macro_rules! read {
        ($variant:ident, $type:ty) => {{
            let wrong = DecodeError::Length {
                kind: header.kind,
                actual: bytes.len(),
                said: header.len,
                expected: size_of::<$type>(),
            };
            if header.len as usize != size_of::<$type>() {
                return Err(wrong);
            }
            <$type>::ref_from_prefix(bytes)
                .map(|(record, _)| Record::$variant(record))
                .map_err(|_| wrong)
        }};
    }
    match header.kind {
        kind::OPEN => read!(Open, OpenRecord),
        kind::CONNECT => read!(Connect, ConnectRecord),
        kind::OUTCOME => read!(Outcome, OutcomeRecord),
        kind::CLOSED => read!(Closed, OutcomeRecord),
        kind::ACCEPT => read!(Accept, AcceptRecord),
        kind::LISTEN => read!(Listen, ListenRecord),
        kind::EXEC => read!(Exec, ExecRecord),
        kind::DENIED => read!(Denied, DeniedRecord),
        kind::MEMORY => read!(Memory, MemoryRecord),
        kind::SOCKET_CREATE => read!(SocketCreate, SocketRecord),
        kind::RECEIVED_FILE => read!(ReceivedFile, ReceivedRecord),
        kind::RECEIVED_SOCKET => read!(ReceivedSocket, ReceivedRecord),
        kind::HELD => read!(Held, HeldRecord),
        kind::CGROUP_MKDIR => read!(CgroupMkdir, CgroupRecord),
        kind::CGROUP_RMDIR => read!(CgroupRmdir, CgroupRecord),
        kind::CGROUP_ATTACH => read!(CgroupAttach, CgroupRecord),
        kind => Err(DecodeError::Kind(kind)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::{FromZeros as _, IntoBytes as _};

    use super::*;

    /// 8-aligned bytes, as in the ring buffer.
    fn aligned(bytes: &[u8]) -> Vec<u64> {
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        words
    }

    #[test]
    fn a_whole_record_is_read_and_a_cut_one_refused() {
        let mut record = OutcomeRecord::new_zeroed();
        record.header.kind = kind::CLOSED;
        record.header.len = size_of::<OutcomeRecord>() as u32;
        record.bytes_received = 101;
        let words = aligned(record.as_bytes());
        let bytes = words.as_bytes();
        assert!(matches!(decode(bytes), Ok(Record::Closed(found)) if found.bytes_received == 101));
        assert!(matches!(
            decode(&bytes[..bytes.len() - 8]),
            Err(DecodeError::Length { .. })
        ));
        assert_eq!(decode(&bytes[..8]).unwrap_err(), DecodeError::NoHeader(8));
    }

    #[test]
    fn a_canary_is_told_by_what_the_kernel_half_tells_it_by() {
        let mut outcome = OutcomeRecord::new_zeroed();
        assert!(!Record::Outcome(&outcome).is_canary(7));
        outcome.endpoint = CANARY_ENDPOINT;
        assert!(Record::Outcome(&outcome).is_canary(7));
        assert!(Record::Closed(&outcome).is_canary(7));
        let mut open = OpenRecord::new_zeroed();
        open.task.pid = 7;
        assert!(
            !Record::Open(&open).is_canary(7),
            "a token's, by the auditor"
        );
        open.file.class = class::CANARY;
        assert!(Record::Open(&open).is_canary(8));
        let mut memory = MemoryRecord::new_zeroed();
        memory.task.pid = 7;
        assert!(Record::Memory(&memory).is_canary(7));
        assert!(!Record::Memory(&memory).is_canary(8));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..6000), kind in 0_u16..18, len in any::<u32>()) {
            let mut words = aligned(&bytes);
            let bytes = words.as_mut_bytes();
            if bytes.len() >= 8 {
                bytes[..2].copy_from_slice(&kind.to_ne_bytes());
                let said = if len.is_multiple_of(2) { bytes.len() as u32 } else { len };
                bytes[4..8].copy_from_slice(&said.to_ne_bytes());
            }
            let _ = decode(bytes);
            let _ = auditor_common::components(bytes, len).count();
            let _ = auditor_common::until_nul(bytes);
        }
    }
}
