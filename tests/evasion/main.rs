//! `evade TECHNIQUE ARGS…`: one way to a token, or to the Pod Identity agent, that a watcher may miss. It knows nothing of the
//! auditor. One technique a file; what must be seen of it is declared in the file of the same name beside it (`lab evade`).
//!
//! Prints `skipped: why`, and succeeds, where the kernel lacks what the technique needs; fails where it did not work.

mod aio;
mod bind_mount;
mod clone_files;
mod common;
mod connect;
mod connect_int80;
mod connect_nonblocking;
mod connect_renamed;
mod connect_thread;
mod connect_v4_mapped;
mod connect_v6;
mod connect_vfork_child;
mod copy_file_range;
mod dirfd;
mod environ;
mod execve;
mod fanotify;
mod fastopen_connect;
mod fastopen_sendmmsg;
mod fastopen_sendmsg;
mod fastopen_sendto;
mod fds;
mod file_handle;
mod for_writing;
mod foreign_netns;
mod hard_link;
mod held;
mod inherited;
mod int80;
mod io_uring_connect;
mod io_uring_connect_sqpoll;
mod io_uring_connect_worker;
mod io_uring_direct;
mod io_uring_fastopen;
mod io_uring_msg_ring;
mod io_uring_openat;
mod io_uring_openat2;
mod io_uring_sqpoll;
mod io_uring_worker;
mod map_files;
mod memfd;
mod mmap;
mod move_mount;
mod mptcp;
mod no_route;
mod opath_only;
mod opath_reopen;
mod open;
mod open_tree;
mod openat;
mod openat2;
mod openat2_beneath;
mod openat2_cached;
mod openat2_in_root;
mod openat2_no_magiclinks;
mod openat2_no_symlinks;
mod openat2_no_xdev;
mod overlay_copy_up;
mod overlay_lower;
mod packet_socket;
mod pidfd_getfd;
mod preadv2;
mod proc_cwd;
mod proc_fd;
mod proc_mem;
mod proc_root;
mod process_vm_readv;
mod proxy;
mod ptrace_peek;
mod readv;
mod refused;
mod relative;
mod rename_race;
mod renamed;
mod scm_rights;
mod scm_rights_from_victim;
mod seccomp_addfd;
mod sendfile;
mod setns;
mod shell_redirect;
mod socket_pidfd_getfd;
mod socket_scm_rights;
mod splice;
mod symbolic_link;
mod thread;
mod udp;
mod user_namespace;
mod vfork_child;

use anyhow::{Context, Result, bail};

type Run = fn(&[String]) -> Result<()>;

const TECHNIQUES: &[(&str, Run)] = &[
    ("aio", aio::run),
    ("bind-mount", bind_mount::run),
    ("clone-files", clone_files::run),
    ("connect", connect::run),
    ("connect-int80", connect_int80::run),
    ("connect-nonblocking", connect_nonblocking::run),
    ("connect-renamed", connect_renamed::run),
    ("connect-thread", connect_thread::run),
    ("connect-v4-mapped", connect_v4_mapped::run),
    ("connect-v6", connect_v6::run),
    ("connect-vfork-child", connect_vfork_child::run),
    ("copy-file-range", copy_file_range::run),
    ("dirfd", dirfd::run),
    ("environ", environ::run),
    ("execve", execve::run),
    ("fanotify", fanotify::run),
    ("fastopen-connect", fastopen_connect::run),
    ("fastopen-sendmmsg", fastopen_sendmmsg::run),
    ("fastopen-sendmsg", fastopen_sendmsg::run),
    ("fastopen-sendto", fastopen_sendto::run),
    ("file-handle", file_handle::run),
    ("for-writing", for_writing::run),
    ("foreign-netns", foreign_netns::run),
    ("hard-link", hard_link::run),
    ("inherited", inherited::run),
    ("int80", int80::run),
    ("io-uring-connect", io_uring_connect::run),
    ("io-uring-connect-sqpoll", io_uring_connect_sqpoll::run),
    ("io-uring-connect-worker", io_uring_connect_worker::run),
    ("io-uring-direct", io_uring_direct::run),
    ("io-uring-fastopen", io_uring_fastopen::run),
    ("io-uring-msg-ring", io_uring_msg_ring::run),
    ("io-uring-openat", io_uring_openat::run),
    ("io-uring-openat2", io_uring_openat2::run),
    ("io-uring-sqpoll", io_uring_sqpoll::run),
    ("io-uring-worker", io_uring_worker::run),
    ("map-files", map_files::run),
    ("memfd", memfd::run),
    ("mmap", mmap::run),
    ("move-mount", move_mount::run),
    ("mptcp", mptcp::run),
    ("no-route", no_route::run),
    ("opath-only", opath_only::run),
    ("opath-reopen", opath_reopen::run),
    ("open", open::run),
    ("open-tree", open_tree::run),
    ("openat", openat::run),
    ("openat2", openat2::run),
    ("openat2-beneath", openat2_beneath::run),
    ("openat2-cached", openat2_cached::run),
    ("openat2-in-root", openat2_in_root::run),
    ("openat2-no-magiclinks", openat2_no_magiclinks::run),
    ("openat2-no-symlinks", openat2_no_symlinks::run),
    ("openat2-no-xdev", openat2_no_xdev::run),
    ("overlay-copy-up", overlay_copy_up::run),
    ("overlay-lower", overlay_lower::run),
    ("packet-socket", packet_socket::run),
    ("pidfd-getfd", pidfd_getfd::run),
    ("preadv2", preadv2::run),
    ("proc-cwd", proc_cwd::run),
    ("proc-fd", proc_fd::run),
    ("proc-mem", proc_mem::run),
    ("proc-root", proc_root::run),
    ("process-vm-readv", process_vm_readv::run),
    ("proxy", proxy::run),
    ("ptrace-peek", ptrace_peek::run),
    ("readv", readv::run),
    ("refused", refused::run),
    ("relative", relative::run),
    ("rename-race", rename_race::run),
    ("renamed", renamed::run),
    ("scm-rights", scm_rights::run),
    ("scm-rights-from-victim", scm_rights_from_victim::run),
    ("seccomp-addfd", seccomp_addfd::run),
    ("sendfile", sendfile::run),
    ("setns", setns::run),
    ("shell-redirect", shell_redirect::run),
    ("socket-pidfd-getfd", socket_pidfd_getfd::run),
    ("socket-scm-rights", socket_scm_rights::run),
    ("splice", splice::run),
    ("symbolic-link", symbolic_link::run),
    ("thread", thread::run),
    ("udp", udp::run),
    ("user-namespace", user_namespace::run),
    ("vfork-child", vfork_child::run),
    // Parts that another process plays.
    ("held", held::run),
    ("inherited-reader", inherited::reader),
    ("int80-probe", int80::probe),
    ("renamed-kubelet", renamed::kubelet),
];

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, args) = args.split_first().context("usage: evade TECHNIQUE ARGS…")?;
    let Some((_, run)) = TECHNIQUES.iter().find(|(known, _)| known == name) else {
        bail!("there is no technique {name}");
    };
    match run(args) {
        Err(e) if e.is::<common::Skipped>() => {
            println!("skipped: {e}");
            Ok(())
        }
        done => done.with_context(|| name.clone()),
    }
}
