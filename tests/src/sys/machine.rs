//! What uname(2) says of the machine.

use rustix::system::uname;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub arch: String,
    /// Major and minor version.
    pub kernel: (u32, u32),
}

impl Machine {
    pub fn this() -> Self {
        let uname = uname();
        Self {
            arch: uname.machine().to_string_lossy().into_owned(),
            kernel: version(&uname.release().to_string_lossy()),
        }
    }

    /// Kernels that the auditor is tried on as far as it goes: the hooks that need more are missing there.
    pub fn is_best_effort(&self) -> bool {
        self.kernel < (5, 14)
    }
}

/// Major and minor of a release (`6.1.0-49-cloud-amd64`); zeroes where it names none.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    (number(), number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_begins_with_its_version() {
        assert_eq!(version("6.1.0-49-cloud-amd64"), (6, 1));
        assert_eq!(version("5.10"), (5, 10));
        assert_eq!(version("6.18.44-fc-v669"), (6, 18));
        assert_eq!(version("?"), (0, 0));
    }
}
