//! The "new ASCII" cpio format (`newc`, magic 070701) that the kernel unpacks as an initramfs.
//! Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.

use std::collections::BTreeSet;

/// What an entry is.
enum Kind<'a> {
    Directory,
    File(&'a [u8]),
    Symlink(&'a str),
    CharDevice { major: u32, minor: u32 },
}

/// An archive being written. Paths have no leading slash; parents are made as they are needed.
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    directories: BTreeSet<String>,
}

impl Archive {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            inode: 0,
            directories: BTreeSet::new(),
        }
    }

    /// A directory and its parents, mode 0755.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || !self.directories.insert(path.to_owned()) {
            return;
        }
        self.parent(path);
        self.entry(path, 0o755, Kind::Directory);
    }

    pub fn file(&mut self, path: &str, permissions: u32, contents: &[u8]) {
        let path = path.trim_matches('/');
        self.parent(path);
        self.entry(path, permissions, Kind::File(contents));
    }

    pub fn symlink(&mut self, path: &str, target: &str) {
        let path = path.trim_matches('/');
        self.parent(path);
        self.entry(path, 0o777, Kind::Symlink(target));
    }

    pub fn char_device(&mut self, path: &str, permissions: u32, (major, minor): (u32, u32)) {
        let path = path.trim_matches('/');
        self.parent(path);
        self.entry(path, permissions, Kind::CharDevice { major, minor });
    }

    /// The archive with its end mark.
    pub fn finish(mut self) -> Vec<u8> {
        self.header("TRAILER!!!", 0, 0, (0, 0));
        self.bytes
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, path: &str, permissions: u32, kind: Kind<'_>) {
        self.inode += 1;
        let (type_bits, contents, device) = match kind {
            Kind::Directory => (0o040_000, &[][..], (0, 0)),
            Kind::File(contents) => (0o100_000, contents, (0, 0)),
            Kind::Symlink(target) => (0o120_000, target.as_bytes(), (0, 0)),
            Kind::CharDevice { major, minor } => (0o020_000, &[][..], (major, minor)),
        };
        self.header(path, type_bits | permissions, contents.len(), device);
        self.bytes.extend_from_slice(contents);
        self.align();
    }

    fn header(&mut self, path: &str, mode: u32, size: usize, (major, minor): (u32, u32)) {
        let (inode, name_size) = (self.inode, path.len() + 1);
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let header = format!(
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{major:08x}{minor:08x}{name_size:08x}{:08x}",
            0, 0, 1, 0, 0, 0, 0
        );
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
    }

    /// Names and contents end on a multiple of four bytes.
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };

    use super::*;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::new();
        archive.char_device("/dev/console", 0o600, (5, 1));
        archive.file("/bin-lab/lab", 0o755, b"binary");
        archive.file("/bin-lab/odd", 0o644, b"12345");
        archive.symlink("/init", "/bin-lab/lab");
        archive.finish()
    }

    #[test]
    fn follows_the_format() {
        let bytes = sample();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        // dev, dev/console, bin-lab, lab, odd, init, trailer
        assert_eq!(text.matches("070701").count(), 7);
        assert!(bytes.starts_with(b"07070100000001000041ed"));
    }

    /// An independent reader agrees, where there is one.
    #[test]
    fn cpio_reads_it_back() {
        let reader = Command::new("cpio")
            .arg("-itv")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut reader) = reader else {
            println!("skipped: no cpio program here");
            return;
        };
        reader.stdin.take().unwrap().write_all(&sample()).unwrap();
        let output = reader.wait_with_output().unwrap();
        assert!(output.status.success());
        let listing = String::from_utf8(output.stdout).unwrap();
        let rows: Vec<Vec<&str>> = listing
            .lines()
            .map(|row| row.split_whitespace().collect())
            .collect();
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (row[0], *row.last().unwrap()))
            .collect();
        let expected = [
            ("drwxr-xr-x", "dev"),
            ("crw-------", "dev/console"),
            ("drwxr-xr-x", "bin-lab"),
            ("-rwxr-xr-x", "bin-lab/lab"),
            ("-rw-r--r--", "bin-lab/odd"),
            ("lrwxrwxrwx", "/bin-lab/lab"),
        ];
        assert_eq!(shown, expected);
        assert!(rows[5].contains(&"init"));
    }
}
