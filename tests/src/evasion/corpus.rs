//! The techniques and their declarations, which are compiled in: a virtual machine has no files of ours.

use anyhow::{Context, Result};

use super::declaration::Declaration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Technique {
    pub name: String,
    yaml: &'static str,
}

impl Technique {
    pub fn declaration(&self) -> Result<Declaration> {
        Declaration::parse(self.yaml).with_context(|| format!("declaration of {}", self.name))
    }
}

macro_rules! declared {
    ($($file:literal)*) => {
        &[$(($file, include_str!(concat!("../../evasion/", $file, ".yaml")))),*]
    };
}

/// File name without its ending, and text, in the order in which they are played.
const DECLARED: &[(&str, &str)] = declared![
    "open"
    "openat"
    "openat2"
    "openat2_beneath"
    "openat2_in_root"
    "openat2_no_magiclinks"
    "openat2_no_symlinks"
    "openat2_no_xdev"
    "openat2_cached"
    "int80"
    "file_handle"
    "relative"
    "dirfd"
    "for_writing"
    "opath_reopen"
    "opath_only"
    "io_uring_openat"
    "io_uring_openat2"
    "io_uring_worker"
    "io_uring_sqpoll"
    "io_uring_direct"
    "io_uring_msg_ring"
    "inherited"
    "shell_redirect"
    "clone_files"
    "thread"
    "vfork_child"
    "hard_link"
    "symbolic_link"
    "bind_mount"
    "open_tree"
    "move_mount"
    "mmap"
    "execve"
    "overlay_lower"
    "overlay_copy_up"
    "readv"
    "preadv2"
    "splice"
    "sendfile"
    "aio"
    "copy_file_range"
    "user_namespace"
    "memfd"
    "renamed"
    "rename_race"
    "other_file"
    "host_path"
    "sub_path"
    "sub_path_rotated"
    "fanotify"
    "scm_rights"
    "seccomp_addfd"
    "scm_rights_from_victim"
    "pidfd_getfd"
    "proc_fd"
    "deleted_token"
    "map_files"
    "proc_root"
    "proc_cwd"
    "setns"
    "process_vm_readv"
    "proc_mem"
    "ptrace_peek"
    "environ"
    "connect"
    "connect_v6"
    "connect_v4_mapped"
    "connect_nonblocking"
    "connect_int80"
    "connect_thread"
    "connect_vfork_child"
    "connect_renamed"
    "fastopen_sendto"
    "fastopen_sendmsg"
    "fastopen_sendmmsg"
    "fastopen_connect"
    "io_uring_connect"
    "io_uring_connect_worker"
    "io_uring_connect_sqpoll"
    "io_uring_fastopen"
    "mptcp"
    "foreign_netns"
    "udp"
    "refused"
    "no_route"
    "proxy"
    "socket_scm_rights"
    "socket_pidfd_getfd"
    "raw_socket"
    "packet_socket"
];

pub fn all() -> impl Iterator<Item = Technique> {
    DECLARED.iter().map(|(file, yaml)| Technique {
        name: file.replace('_', "-"),
        yaml,
    })
}

/// Those of these names; all where there are none.
pub(super) fn chosen(names: &[String]) -> Result<Vec<Technique>> {
    if names.is_empty() {
        return Ok(all().collect());
    }
    let find = |name: &String| {
        all().find(|t| t.name == *name).with_context(|| {
            let known: Vec<String> = all().map(|t| t.name).collect();
            format!(
                "there is no technique {name}; there are {}",
                known.join(", ")
            )
        })
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::{
        super::declaration::{Actor, Backend, Sight},
        *,
    };

    /// Names in the directory of the corpus that end so.
    fn files(ending: &str) -> BTreeSet<String> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("evasion");
        let names = fs::read_dir(dir).unwrap().map(|entry| {
            let name = entry.unwrap().file_name();
            name.to_str().unwrap().to_owned()
        });
        names
            .filter_map(|name| name.strip_suffix(ending).map(str::to_owned))
            .collect()
    }

    #[test]
    fn every_declaration_is_played_and_can_be_read() {
        let listed: BTreeSet<String> = DECLARED.iter().map(|(file, _)| (*file).into()).collect();
        assert_eq!(listed, files(".yaml"));
        assert_eq!(listed.len(), DECLARED.len());
        assert!(listed.len() >= 40, "only {}", listed.len());
        for technique in all() {
            technique.declaration().unwrap();
        }
    }

    #[test]
    fn every_technique_has_its_program_and_its_declaration() {
        let shared = ["main", "common", "fds", "held"];
        let programs = files(".rs")
            .into_iter()
            .filter(|p| !shared.contains(&p.as_str()));
        let of_others = |t: &Technique| {
            let run = t.declaration().unwrap().run;
            run.iter()
                .all(|step| step.by == Actor::Rotation || step.program.is_some())
        };
        let own = all().filter(|t| !of_others(t));
        let own: BTreeSet<String> = own.map(|t| t.name.replace('-', "_")).collect();
        assert_eq!(own, programs.collect());
    }
    /// What fentry and kprobe do not tell all of: technique, fact, and why nothing better can be declared.
    const NOT_ALL_SEEN: &[(&str, &str, &str)] = &[
        (
            "opath-only",
            "F09",
            "an O_PATH descriptor gives no contents, and security_file_open does not come",
        ),
        (
            "io-uring-msg-ring",
            "F11",
            "the receiver's ring takes the descriptor without security_file_receive; the sender's open is told",
        ),
        (
            "execve",
            "F22",
            "the file's mode refuses it before security_file_open, and it would give no contents",
        ),
        (
            "environ",
            "F36",
            "it holds the token's path only, and ps and top read it all the time",
        ),
        (
            "udp",
            "N13",
            "the agent speaks TCP: a datagram brings no credentials",
        ),
    ];

    #[test]
    fn what_fentry_and_kprobe_do_not_see_is_known_with_its_reason() {
        for backend in [Backend::Fentry, Backend::Kprobe] {
            let unseen = all().filter_map(|technique| {
                let declaration = technique.declaration().unwrap();
                let sight = declaration.on(backend).unwrap().sight();
                (sight != Sight::Seen).then_some((technique.name, declaration.fact))
            });
            let known = NOT_ALL_SEEN.iter();
            let known = known.map(|(name, fact, _)| ((*name).to_owned(), (*fact).to_owned()));
            assert_eq!(
                unseen.collect::<BTreeSet<_>>(),
                known.collect::<BTreeSet<_>>(),
                "{backend:?}"
            );
        }
        assert!(NOT_ALL_SEEN.iter().all(|(_, _, why)| why.len() > 20));
    }
}
