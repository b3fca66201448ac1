//! Fills [`Offsets`] from BTF.

use auditor_common::{ABSENT, FIELDS, Offsets};
use zerocopy::IntoBytes as _;

use super::btf::Btf;

#[derive(Debug, thiserror::Error)]
#[error("this kernel's BTF has none of {paths:?}, which the probes cannot do without")]
pub struct MissingMember {
    paths: &'static [&'static str],
}

/// Resolves every field; one that is only wanted and missing stays [`ABSENT`].
pub fn resolve(btf: &Btf<'_>) -> Result<Offsets, MissingMember> {
    let mut offsets = Offsets::absent();
    // `FIELDS` is in the order of the struct's fields, each one word.
    for (slot, field) in offsets.as_mut_bytes().chunks_exact_mut(4).zip(FIELDS) {
        let found = field.paths.iter().find_map(|path| btf.offset(path));
        if found.is_none() && field.required {
            return Err(MissingMember { paths: field.paths });
        }
        slot.copy_from_slice(&found.unwrap_or(ABSENT).to_ne_bytes());
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_one_entry() {
        assert_eq!(FIELDS.len() * 4, size_of::<Offsets>());
    }

    #[test]
    fn resolves_on_the_running_kernel() {
        let Ok(bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            eprintln!("skipped: this kernel has no /sys/kernel/btf/vmlinux");
            return;
        };
        let btf = Btf::parse(&bytes).unwrap();
        let offsets = resolve(&btf).unwrap();
        assert_ne!(offsets.sb_dev, ABSENT);
        assert!(
            (offsets.mount_instance == ABSENT) != (offsets.mount_next_for_sb == ABSENT),
            "exactly one of the two ways to walk a superblock's mounts"
        );
    }
}
