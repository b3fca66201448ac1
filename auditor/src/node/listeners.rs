//! Who listens already: sockets of a network namespace, and the processes that hold them, from `/proc`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{Clock, proc_file, read_args};
use crate::{
    event::{InodeId, Namespaces, Process},
    probe::Device,
};

/// `st` of a listening socket in /proc/net/tcp (include/net/tcp_states.h).
const LISTENING: &str = "0A";

/// A listening socket and the first process that was found to hold it.
#[derive(Clone, Debug)]
pub struct FoundListener {
    pub local: SocketAddr,
    pub net_ns: u32,
    /// As `/proc/PID/cgroup` has it.
    pub cgroup: Option<String>,
    /// What `/proc` tells: neither capabilities nor parents, and no session.
    pub process: Process,
}

/// Listeners on `wanted` in the network namespace `net_ns` (an inode number). Processes of other namespaces that hold one are
/// not found. Needs CAP_SYS_PTRACE; what cannot be read is passed over.
pub fn find(host_proc: &Path, net_ns: u32, wanted: &[SocketAddr]) -> Vec<FoundListener> {
    let link = format!("net:[{net_ns}]");
    let Ok(entries) = fs::read_dir(host_proc) else {
        return Vec::new();
    };
    let mut processes: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, path): &(u32, PathBuf)| {
            fs::read_link(path.join("ns/net")).is_ok_and(|found| found.as_os_str() == link.as_str())
        })
        .collect();
    processes.sort_unstable();
    // Any process of the namespace shows all of its sockets.
    let tables = processes.iter().find_map(|(_, path)| {
        let v4 = fs::read_to_string(path.join("net/tcp")).ok()?;
        let v6 = fs::read_to_string(path.join("net/tcp6")).unwrap_or_default();
        Some(format!("{v4}\n{v6}"))
    });
    let mut sockets: Vec<(u64, SocketAddr)> = tables
        .iter()
        .flat_map(|tables| tables.lines())
        .filter_map(listener)
        .filter(|(_, local)| wanted.contains(local))
        .collect();
    let mut found = Vec::new();
    for (pid, path) in &processes {
        if sockets.is_empty() {
            break;
        }
        for inode in held_sockets(path) {
            while let Some(at) = sockets.iter().position(|(known, _)| *known == inode) {
                let (_, local) = sockets.swap_remove(at);
                found.push(FoundListener {
                    local,
                    net_ns,
                    cgroup: proc_file::cgroup_of(path),
                    process: process(host_proc, path, *pid, net_ns),
                });
            }
        }
    }
    found
}

/// Inode and local address of a listening socket's line in `/proc/net/tcp{,6}`.
pub(super) fn listener(line: &str) -> Option<(u64, SocketAddr)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, LISTENING, ..] = fields.as_slice() else {
        return None;
    };
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let inode = fields.get(9)?.parse().ok()?;
    Some((inode, SocketAddr::new(address(ip)?, port)))
}

/// Words as they lie in memory, each printed as a number.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(8 * at..8 * at + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

fn held_sockets(process: &Path) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return Vec::new();
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| {
            let link = fs::read_link(descriptor.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            inode.parse().ok()
        })
        .collect()
}

fn process(host_proc: &Path, path: &Path, pid: u32, net_ns: u32) -> Process {
    let read = |name: &str| proc_file::read(&path.join(name)).unwrap_or_default();
    let status = read("status");
    let id = |key: &str| {
        proc_file::number(&status, key, 10)
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or_default()
    };
    let namespace = |name: &str| {
        let link = fs::read_link(path.join("ns").join(name)).ok()?;
        link.to_str()?
            .split_once('[')?
            .1
            .strip_suffix(']')?
            .parse()
            .ok()
    };
    let exe = fs::read_link(path.join("exe")).ok();
    let metadata = fs::metadata(path.join("exe")).ok();
    let host = |name: &str| fs::read_link(host_proc.join("1/ns").join(name)).ok();
    let own = |name: &str| fs::read_link(path.join("ns").join(name)).ok();
    Process {
        pid,
        tid: pid,
        start_time: Clock::now().wall(proc_file::start_ns(&read("stat")).unwrap_or_default()),
        comm: read("comm").trim_end().to_owned(),
        exe: exe.map(|exe| exe.to_string_lossy().into_owned()),
        exe_inode: metadata.as_ref().map(|metadata| {
            let device = Device::from_stat(metadata.dev());
            InodeId {
                major: device.major,
                minor: device.minor,
                ino: metadata.ino(),
            }
        }),
        exe_upper_layer: None,
        exe_unlinked: metadata.is_some_and(|metadata| metadata.nlink() == 0),
        args: read_args(host_proc, pid).unwrap_or_default(),
        uid: id("Uid:"),
        gid: id("Gid:"),
        capabilities: Vec::new(),
        exec_session: None,
        tty: None,
        login_uid: None,
        parents: Vec::new(),
        namespaces: Namespaces {
            pid: namespace("pid").unwrap_or_default(),
            mnt: namespace("mnt").unwrap_or_default(),
            net: net_ns,
        },
        host_namespaces: ["pid", "mnt"]
            .into_iter()
            .any(|name| own(name).is_some() && own(name) == host(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn reads_the_kernels_tables() {
        let line = |address: &str, state: &str| {
            format!(
                "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100"
            )
        };
        let words = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => format!("{:08X}", u32::from_ne_bytes(ip.octets())),
            IpAddr::V6(ip) => ip
                .octets()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
                .collect(),
        };
        for local in ["169.254.170.23:80", "[fd00:ec2::23]:80"] {
            let local: SocketAddr = local.parse().unwrap();
            let address = format!("{}:{:04X}", words(local.ip()), local.port());
            assert_eq!(listener(&line(&address, "0A")), Some((4242, local)));
            assert_eq!(listener(&line(&address, "01")), None, "established");
        }
        let mapped = words("::ffff:169.254.170.23".parse().unwrap());
        let found = listener(&line(&format!("{mapped}:0050"), "0A"));
        assert_eq!(found.unwrap().1.to_string(), "169.254.170.23:80");
        assert_eq!(listener("  sl  local_address rem_address   st"), None);
        assert_eq!(listener(&line("17AAFEA9", "0A")), None);
    }

    #[test]
    fn finds_a_listener_of_this_process() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        let net_ns = fs::metadata("/proc/self/ns/net").unwrap().ino() as u32;
        let found = find(Path::new("/proc"), net_ns, &[local]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].process.pid, std::process::id());
        assert_eq!(found[0].local, local);
        assert!(found[0].process.exe_inode.is_some());
        let age = jiff::Timestamp::now().duration_since(found[0].process.start_time);
        assert!((0..3600).contains(&age.as_secs()), "{age}");
        assert!(find(Path::new("/proc"), net_ns + 1, &[local]).is_empty());
    }
}
