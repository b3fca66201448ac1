//! What the programs of a container may hold at most.

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    thread::{CapabilitySet, remove_capability_from_bounding_set},
};

/// containerd's default: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
/// sys_chroot, mknod, audit_write, setfcap (containerd, `pkg/oci/spec.go`).
pub const DEFAULT: u64 = 0xa804_25fb;

/// By the name in a container's `securityContext.capabilities.add`: `SYS_ADMIN`.
pub fn named(name: &str) -> Result<u64> {
    let known = CapabilitySet::from_name(name);
    Ok(known
        .with_context(|| format!("no capability is called {name}"))?
        .bits())
}

/// Takes all others out of the bounding set: what is executed from now on has none of them, root's programs included.
pub fn bound_to(set: u64) -> Result<()> {
    for number in (0..u64::BITS).filter(|number| set & (1 << number) == 0) {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // No such capability in this kernel.
            Err(Errno::INVAL) => {}
            result => result.with_context(|| format!("drop capability {number}"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_what_containers_get() {
        let names = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "SETGID",
            "SETUID",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "NET_RAW",
            "SYS_CHROOT",
            "MKNOD",
            "AUDIT_WRITE",
            "SETFCAP",
        ];
        let all = names.iter().map(|name| named(name).unwrap());
        assert_eq!(all.fold(0, |set, one| set | one), DEFAULT);
        assert!(named("CAP_SYS_ADMIN").is_err());
    }
}
