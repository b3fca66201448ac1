//! How often the kernel left a program out.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::Ebpf;

/// By program, how often the kernel did not run it because it was running on that processor already: a task that was preempted in it,
/// or interrupted. What it would have told of is not known. Programs of kernels that do not count it (before Linux 5.12) are left out.
pub(super) fn runs(ebpf: &Ebpf) -> Vec<(String, u64)> {
    let counts = ebpf.programs().filter_map(|(name, program)| {
        let fd = program.fd().ok()?.as_fd().as_raw_fd();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        Some((name.to_owned(), in_fdinfo(&info)?))
    });
    counts.collect()
}

/// kernel/bpf/syscall.c, `bpf_prog_show_fdinfo`.
fn in_fdinfo(info: &str) -> Option<u64> {
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_where_the_kernel_has_one() {
        let info = "pos:\t0\nflags:\t02000002\nprog_type:\t26\nrun_time_ns:\t0\nrun_cnt:\t0\nrecursion_misses:\t7\nverified_insns:\t9\n";
        assert_eq!(in_fdinfo(info), Some(7));
        assert_eq!(in_fdinfo("prog_type:\t26\n"), None);
        assert_eq!(in_fdinfo("recursion_misses:\tmany\n"), None);
    }
}
