//! The machine that was measured.

use std::{fmt::Write as _, fs, process::Command};

use crate::process::capture;

#[derive(Debug, Default)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_gib: f64,
    pub kernel: String,
    pub commit: String,
    pub date: String,
    /// Runnable processes of the last minute when the run began (/proc/loadavg): above 0, others were at work.
    pub load: String,
}

impl Machine {
    pub fn this() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let field = |text: &str, key: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            let found = lines.find(|(name, _)| name.trim() == key);
            found
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let kib = field(&meminfo, "MemTotal");
        let kib: f64 = kib.trim_end_matches(" kB").parse().unwrap_or_default();
        let said = |command: &mut Command| capture(command).unwrap_or_default().trim().to_owned();
        let mut git = Command::new("git");
        git.args(["describe", "--always", "--dirty"])
            .current_dir(crate::process::workspace());
        Self {
            processor: field(&cpuinfo, "model name"),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            commit: said(&mut git),
            date: said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }

    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let rows = [
            (
                "Processor",
                format!("{}, {} of them", self.processor, self.processors),
            ),
            ("Memory", format!("{:.0} GiB", self.memory_gib)),
            ("Kernel", format!("Linux {}", self.kernel)),
            ("Commit", self.commit.clone()),
            ("Begun", self.date.clone()),
            (
                "Others at work",
                format!("load average {} when it began", self.load),
            ),
        ];
        for (name, value) in rows {
            // write! to a String cannot fail.
            let _ = writeln!(text, "- {name}: {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel() {
        let machine = Machine::this();
        assert!(machine.processors > 0 && machine.memory_gib > 0.1);
        assert!(machine.markdown().contains(&machine.kernel));
        assert!(!machine.kernel.is_empty());
    }
}
