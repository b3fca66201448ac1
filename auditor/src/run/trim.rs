//! Gives back memory that only the start needed.

use std::{fs, ops::Range};

/// Heap that loading took (the kernel's BTF and the object's, some 40 MB), and pages of programs that ran or were read then: the
/// loader's code and the object itself lie in the executable. Those come back from the page cache when they are touched.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's malloc_trim takes no pointers and is thread-safe.
    unsafe {
        libc::malloc_trim(0);
    }
    // Without it, more stays resident, and that is all.
    let Ok(smaps) = fs::read_to_string("/proc/self/smaps") else {
        return;
    };
    for mapping in as_on_disk(&smaps) {
        let start = std::ptr::without_provenance_mut(mapping.start);
        // SAFETY: a private mapping of a file, not writable, none of whose pages differs from the file: the kernel reads the same bytes
        // again (madvise(2): "up-to-date contents of the underlying mapped file"). What is not mapped any more is an error.
        let dropped =
            unsafe { rustix::mm::madvise(start, mapping.len(), rustix::mm::Advice::LinuxDontNeed) };
        if let Err(error) = dropped {
            tracing::debug!(%error, "pages of the start stay resident");
        }
    }
}

/// Private mappings of files that nobody can write to, and in which nothing was written before (relocations): addresses, from the text of
/// /proc/PID/smaps (Documentation/filesystems/proc.rst).
fn as_on_disk(smaps: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut is_of_last = false;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if let Some(field) = first.strip_suffix(':') {
            let is_changed = field == "Anonymous" && words.next() != Some("0");
            if is_of_last && is_changed {
                found.pop();
                is_of_last = false;
            }
            continue;
        }
        let permissions = words.next().unwrap_or_default();
        // Offset, device, inode; then the path.
        let is_file = words.nth(3).is_some_and(|path| path.starts_with('/'));
        let is_fixed = matches!(permissions.as_bytes(), [b'r', b'-', _, b'p']);
        is_of_last = is_file && is_fixed;
        if let Some(range) = range(first).filter(|_| is_of_last) {
            found.push(range);
        } else {
            is_of_last = false;
        }
    }
    found
}

fn range(addresses: &str) -> Option<Range<usize>> {
    let (start, end) = addresses.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_the_file_has_it_is_given_back() {
        let smaps = "\
            1000-3000 r--p 00000000 08:01 77 /auditor\nRss: 8 kB\nAnonymous: 0 kB\nVmFlags: rd mr mw me\n\
            3000-5000 r-xp 00002000 08:01 77 /auditor\nAnonymous:             0 kB\n\
            5000-6000 r--p 00004000 08:01 77 /auditor\nAnonymous:             4 kB\nLazyFree: 0 kB\n\
            6000-7000 rw-p 00005000 08:01 77 /auditor\nAnonymous: 0 kB\n\
            7000-8000 rw-p 00000000 00:00 0 [heap]\nAnonymous: 4 kB\n\
            8000-9000 r--s 00000000 00:0e 9 anon_inode:bpf-map\nAnonymous: 0 kB\n\
            9000-a000 r-xp 00000000 00:00 0 [vdso]\nAnonymous: 0 kB\n\
            a000-b000 r-xp 00000000 08:01 78 /lib/a b.so (deleted)\nAnonymous: 0 kB\n";
        assert_eq!(
            as_on_disk(smaps),
            [0x1000..0x3000, 0x3000..0x5000, 0xa000..0xb000]
        );
        assert!(as_on_disk("x\n1-\nzz-1 r-xp 0 0 0 /a\n2-1 r-xp 0 0 0 /a\n").is_empty());
    }

    /// Its own code is dropped while it runs.
    #[test]
    fn the_process_goes_on() {
        trim();
        assert!(format!("{:?}", range("10-20")).contains("16..32"));
    }
}
