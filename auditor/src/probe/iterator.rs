//! The kernel's iterators over what all processes have open and mapped.

use std::{
    fs::File,
    io::{self, Read as _},
};

use auditor_common::HeldRecord;
use aya::{Ebpf, programs::Program};
use zerocopy::IntoBytes as _;

/// As big as the kernel's own buffer for it (kernel/bpf/bpf_iter.c: 8 pages).
const BUFFER: usize = 32 << 10;

/// Starts a run of each of these iterators, to be read to its end: [`read`].
pub fn open(ebpf: &mut Ebpf, programs: &[(&str, &str)]) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    for (name, _) in programs {
        let Some(Program::Iter(program)) = ebpf.program_mut(name) else {
            return Err(format!("the object has no iterator {name}"));
        };
        let file = program
            .attach()
            .and_then(|id| program.take_link(id))
            .map_err(|error| error.to_string())
            .and_then(|link| link.into_file().map_err(|error| error.to_string()));
        files.push(file?);
    }
    Ok(files)
}

/// Hands each record to `each`, until that says no or the run has ended. It waits for a process that holds its own memory map
/// locked, so it is not for a thread that others wait for.
pub fn read(file: &mut File, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    const SIZE: usize = size_of::<HeldRecord>();
    // 8-aligned, as records are.
    let mut buffer = vec![0_u64; (BUFFER + SIZE) / 8];
    let bytes = buffer.as_mut_bytes();
    let mut filled = 0;
    loop {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => return Ok(()),
            Ok(read) => filled += read,
            // EAGAIN: a million objects, and none of them to tell of.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        }
        let whole = filled / SIZE * SIZE;
        for record in bytes[..whole].chunks_exact(SIZE) {
            if !each(record) {
                return Ok(());
            }
        }
        bytes.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use auditor_common::kind;
    use zerocopy::FromZeros as _;

    use super::*;
    use crate::probe::{Record, decode};

    #[test]
    fn records_are_whole_however_the_reads_cut_them() {
        let memfd = rustix::fs::memfd_create("held", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut file = File::from(memfd);
        // More than one buffer of them.
        for ino in 0..40 {
            let mut record = HeldRecord::new_zeroed();
            record.header.kind = kind::HELD;
            record.header.len = size_of::<HeldRecord>() as u32;
            record.file.ino = ino;
            file.write_all(record.as_bytes()).unwrap();
        }
        file.rewind().unwrap();
        let mut found = Vec::new();
        read(&mut file, |bytes| {
            match decode(bytes) {
                Ok(Record::Held(record)) => found.push(record.file.ino),
                other => panic!("{other:?}"),
            }
            true
        })
        .unwrap();
        assert_eq!(found, (0..40).collect::<Vec<_>>());
        file.rewind().unwrap();
        let mut seen = 0;
        read(&mut file, |_| {
            seen += 1;
            seen < 3
        })
        .unwrap();
        assert_eq!(seen, 3);
    }
}
