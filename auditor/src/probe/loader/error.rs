//! Why nothing could be loaded, and what to do about it.

use crate::probe::{btf, offsets};

pub(super) const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {BTF_PATH}, the kernel's BTF: {0}")]
    NoBtf(std::io::Error),
    #[error("cannot use {BTF_PATH}: {0}")]
    BadBtf(#[from] btf::BtfError),
    #[error(transparent)]
    MissingMember(#[from] offsets::MissingMember),
    #[error("missing {}", .0.join(" and "))]
    Capabilities(Vec<&'static str>),
    #[error("cannot load the BPF object: {0}")]
    Object(String),
    #[error("no way to watch {hook} works on this kernel: {reasons}")]
    Hook { hook: &'static str, reasons: String },
}

impl LoadError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoBtf(_) | Self::BadBtf(_) => {
                "run a kernel built with CONFIG_DEBUG_INFO_BTF=y (AL2023 and Bottlerocket are), and mount /sys/kernel/btf into the container"
            }
            Self::MissingMember(_) => {
                "this kernel's structures are not known yet: report it with `uname -r` and the message above"
            }
            Self::Capabilities(_) => {
                "run as root with CAP_BPF and CAP_PERFMON (in a pod: securityContext.capabilities.add: [BPF, PERFMON])"
            }
            Self::Object(_) => {
                "the kernel's reason is above; EPERM means a missing capability, a user namespace (in a pod: hostUsers: false) or a seccomp profile without bpf(2), ENOMEM a memory limit"
            }
            Self::Hook { .. } => {
                "`auditor check` shows each way that was tried, and the kernel's reason against it; under lockdown=confidentiality kernel memory cannot be read at all"
            }
        }
    }
}
