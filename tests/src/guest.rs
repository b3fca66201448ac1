//! PID 1 of a virtual machine: makes the machine fit for a lab, runs the jobs of `/job`, says how it went, powers off.

use std::{
    fs::{self, File},
    io::Write,
    os::fd::AsFd,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    mount::{MountFlags, mount, mount_bind_recursive, mount_move},
    system::{RebootCommand, finit_module, reboot},
};

use crate::sys::netlink::Netlink;

/// One `lab` command line a line; no quoting.
const JOB: &str = "/job";

/// The kernel gives its first process none.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Never returns to a shell: the machine is off afterwards. Only `guest: success` means success.
pub fn run() -> Result<()> {
    let result = prepare().and_then(|()| jobs());
    match result {
        Ok(()) => say("guest: success"),
        Err(e) => {
            say(&format!("{e:#}"));
            say("guest: failure");
        }
    }
    rustix::fs::sync();
    reboot(RebootCommand::PowerOff).context("power off")
}

/// The console may be slow, never absent.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
    let _ = std::io::stdout().flush();
}

fn prepare() -> Result<()> {
    ensure!(
        std::process::id() == 1,
        "`lab guest` is for PID 1 of a virtual machine"
    );
    for (source, dir, kind) in [
        ("proc", "/proc", "proc"),
        ("sysfs", "/sys", "sysfs"),
        ("devtmpfs", "/dev", "devtmpfs"),
        ("tmpfs", "/run", "tmpfs"),
        ("tmpfs", "/tmp", "tmpfs"),
    ] {
        mount_at(source, dir, kind)?;
    }
    load_modules(Path::new("/modules"))?;
    for (source, dir, kind) in [
        ("cgroup2", "/sys/fs/cgroup", "cgroup2"),
        ("bpf", "/sys/fs/bpf", "bpf"),
        ("tracefs", "/sys/kernel/tracing", "tracefs"),
        ("securityfs", "/sys/kernel/security", "securityfs"),
    ] {
        mount_at(source, dir, kind)?;
    }
    Netlink::open()?.set_up("lo")?;
    leave_rootfs()
}

fn mount_at(source: &str, dir: &str, kind: &str) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create {dir}"))?;
    match mount(source, dir, kind, MountFlags::empty(), None) {
        // The kernel has mounted devtmpfs by itself.
        Err(rustix::io::Errno::BUSY) => Ok(()),
        result => result.with_context(|| format!("mount {kind} on {dir}")),
    }
}

/// Loads the modules that `order` names, one file name a line.
fn load_modules(dir: &Path) -> Result<()> {
    let order = match fs::read_to_string(dir.join("order")) {
        Ok(order) => order,
        Err(_) => return Ok(()),
    };
    for name in order.split_whitespace() {
        let file = File::open(dir.join(name)).with_context(|| format!("open module {name}"))?;
        match finit_module(file.as_fd(), c"", 0) {
            Err(rustix::io::Errno::EXIST) => {}
            result => result.with_context(|| format!("load module {name}"))?,
        }
    }
    Ok(())
}

/// `pivot_root` refuses to leave the initramfs, so a bind mount of it becomes the root.
fn leave_rootfs() -> Result<()> {
    fs::create_dir_all("/root-of-guest")?;
    mount_bind_recursive("/", "/root-of-guest").context("bind the root")?;
    std::env::set_current_dir("/root-of-guest")?;
    mount_move(".", "/").context("move the root")?;
    rustix::process::chroot(".").context("enter the root")?;
    Ok(std::env::set_current_dir("/")?)
}

fn jobs() -> Result<()> {
    let jobs = fs::read_to_string(JOB).with_context(|| format!("read {JOB}"))?;
    let lab = std::env::current_exe()?;
    let mut failed = Vec::new();
    let mut ran = 0;
    for job in jobs.lines().map(str::trim).filter(|j| !j.is_empty()) {
        say(&format!("guest: lab {job}"));
        let mut command = Command::new(&lab);
        command.args(job.split_whitespace()).env("PATH", PATH);
        // Emulated processors are 10 to 20 times slower.
        if std::env::var_os("LAB_PATIENCE").is_none() {
            command.env("LAB_PATIENCE", "10");
        }
        let before = children();
        let status = command.status().with_context(|| format!("run lab {job}"))?;
        let (user, system) = children();
        say(&format!(
            "guest: {:.1} s user, {:.1} s system",
            user - before.0,
            system - before.1
        ));
        ran += 1;
        if !status.success() {
            failed.push(format!("lab {job}: {status}"));
        }
    }
    ensure!(ran > 0, "{JOB} holds no job");
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// Processor seconds, user and system, that all ended children have taken, theirs included.
fn children() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // cutime and cstime, fields 16 and 17 of proc(5).
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut ticks = fields
        .split_whitespace()
        .skip(13)
        .map(|ticks| ticks.parse::<f64>().unwrap_or_default() / 100.0);
    (
        ticks.next().unwrap_or_default(),
        ticks.next().unwrap_or_default(),
    )
}
