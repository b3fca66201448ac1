//! What `fuzz/` calls and no other part of the API offers. There only under `--cfg fuzzing`, which no other build sets.

use std::{path::PathBuf, sync::Arc};

use auditor_common::{
    ConnectRecord, DeniedRecord, ExecRecord, FIELDS, HeldRecord, ListenRecord, MemoryRecord,
    OpenRecord, ReceivedRecord, SocketRecord, TaskContext,
};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    event::{Body, Process},
    node::{ArgsMode, Clock, describe_process, fuzzing as proc},
    probe::{Record, fuzzing::Btf},
    report::{Envelope, fuzzing as report},
};

pub use crate::probe::fuzzing::BtfError;
pub use proc::{Status, Table};

/// A mount as it was read: `(major, minor, root, mount point, filesystem)`.
pub type Mount = (u32, u32, Vec<u8>, PathBuf, String);

pub fn mountinfo(bytes: &[u8]) -> Vec<Mount> {
    crate::node::parse_mountinfo(bytes)
        .map(|mount| {
            (
                mount.device.major,
                mount.device.minor,
                mount.root,
                mount.mount_point,
                mount.fs_type,
            )
        })
        .collect()
}

/// The offset of each member that the probes ask for, by path.
///
/// # Errors
/// When it is no BTF.
pub fn btf(bytes: &[u8]) -> Result<Vec<(&'static str, Option<u32>)>, BtfError> {
    let btf = Btf::parse(bytes)?;
    let paths = FIELDS.iter().flat_map(|field| field.paths);
    Ok(paths.map(|path| (*path, btf.offset(path))).collect())
}

/// `/proc` files of one process, and the network tables, read as userspace's own look reads them.
pub fn status(bytes: &[u8]) -> Status {
    proc::status(bytes)
}

/// See [`status`].
pub fn table(bytes: &[u8]) -> Table {
    proc::table(bytes)
}

/// `--args redacted`.
pub fn redact(args: Vec<String>) -> Vec<String> {
    ArgsMode::Redacted.apply(args)
}

/// The acting process, as a line tells of it.
pub fn process(record: &Record<'_>, clock: &Clock) -> Option<Process> {
    let task = task(record)?;
    let mut process = describe_process(task, clock, Some(1));
    process.args = redact(process.args);
    Some(process)
}

fn task<'a>(record: &Record<'a>) -> Option<&'a TaskContext> {
    match record {
        Record::Open(OpenRecord { task, .. })
        | Record::Connect(ConnectRecord { task, .. })
        | Record::Listen(ListenRecord { task, .. })
        | Record::Denied(DeniedRecord { task, .. })
        | Record::Memory(MemoryRecord { task, .. })
        | Record::SocketCreate(SocketRecord { task, .. })
        | Record::ReceivedFile(ReceivedRecord { task, .. })
        | Record::ReceivedSocket(ReceivedRecord { task, .. })
        | Record::Held(HeldRecord { task, .. }) => Some(task),
        Record::Exec(ExecRecord { .. })
        | Record::Outcome(_)
        | Record::Closed(_)
        | Record::Accept(_)
        | Record::CgroupMkdir(_)
        | Record::CgroupRmdir(_)
        | Record::CgroupAttach(_) => None,
    }
}

/// A theft by `process`.
pub fn theft(process: Process) -> Body {
    let mut open = report::token_open("x", 1);
    open.process = process;
    Body::TokenOpen(Box::new(open))
}

/// One body of each kind, with `text` wherever text may stand and `many` times where there may be several.
pub fn bodies(text: &str, many: usize) -> Vec<Body> {
    report::bodies(text, many)
}

/// The bytes that the sink is given.
///
/// # Errors
/// When no cut makes it fit.
pub fn line(body: Body, name: &str) -> std::io::Result<Vec<u8>> {
    let envelope = Envelope::new(
        Uuid::nil(),
        Arc::from(name),
        Some(Arc::from(name)),
        Some(Arc::from(name)),
        Some(Arc::from(name)),
    );
    let mut line = envelope.line(u64::MAX, Timestamp::UNIX_EPOCH, Uuid::nil(), body);
    let mut encoder = report::Encoder::default();
    encoder.encode(&mut line)?;
    Ok(encoder.bytes().to_vec())
}
