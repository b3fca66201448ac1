//! The container's securityContext, from the chart's values: the one place where it is written.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// Compiled in: a virtual machine has no manifests.
const VALUES: &str = include_str!("../../../manifests/helm/credential-auditor/values.yaml");

/// As far as a process on one's own machine can have it; the rest is seen in a real runtime's container only (`lab e2e containerd`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// By name, as `capabilities.add` has them: `BPF`.
    pub capabilities: Vec<String>,
}

#[derive(Deserialize)]
struct Values {
    auditor: Auditor,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auditor {
    security_context: SecurityContext,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecurityContext {
    run_as_user: u32,
    run_as_group: u32,
    privileged: bool,
    allow_privilege_escalation: bool,
    read_only_root_filesystem: bool,
    capabilities: Capabilities,
    seccomp_profile: SeccompProfile,
}

#[derive(Deserialize)]
struct Capabilities {
    drop: Vec<String>,
    add: Vec<String>,
}

#[derive(Deserialize)]
struct SeccompProfile {
    r#type: String,
}

impl Manifest {
    /// # Errors
    /// Where the values ask for something else than the lab gives: root without privileges, and the runtime's own seccomp profile.
    pub fn read() -> Result<Self> {
        parse(VALUES).context("manifests/helm/credential-auditor/values.yaml")
    }
}

fn parse(values: &str) -> Result<Manifest> {
    let Values {
        auditor: Auditor { security_context },
    } = serde_saphyr::from_str(values)?;
    let SecurityContext {
        run_as_user,
        run_as_group,
        privileged,
        allow_privilege_escalation,
        read_only_root_filesystem,
        capabilities,
        seccomp_profile,
    } = security_context;
    ensure!(
        (run_as_user, run_as_group) == (0, 0),
        "the lab's auditor is uid 0 and gid 0, and the manifest's {run_as_user} and {run_as_group}"
    );
    ensure!(
        !privileged && !allow_privilege_escalation && read_only_root_filesystem,
        "the lab's auditor is not privileged, gains nothing by exec, and has a read-only root"
    );
    ensure!(
        capabilities.drop == ["ALL"],
        "what is not added must be dropped: {:?}",
        capabilities.drop
    );
    ensure!(
        seccomp_profile.r#type == "RuntimeDefault",
        "the lab has the runtime's default profile, and the manifest {}",
        seccomp_profile.r#type
    );
    Ok(Manifest {
        capabilities: capabilities.add,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_asks_for_what_the_lab_gives() {
        let Manifest { capabilities } = Manifest::read().unwrap();
        assert!(!capabilities.is_empty());
        assert!(!capabilities.contains(&"SYS_ADMIN".to_owned()));
    }

    #[test]
    fn a_manifest_that_the_lab_does_not_imitate_is_an_error() {
        let good = "auditor: {securityContext: {runAsUser: 0, runAsGroup: 0, privileged: false, allowPrivilegeEscalation: false, \
            readOnlyRootFilesystem: true, capabilities: {drop: [ALL], add: [BPF]}, seccompProfile: {type: RuntimeDefault}}}";
        assert_eq!(parse(good).unwrap().capabilities, ["BPF"]);
        for (has, other) in [
            ("runAsUser: 0", "runAsUser: 1000"),
            ("privileged: false", "privileged: true"),
            ("Escalation: false", "Escalation: true"),
            ("Filesystem: true", "Filesystem: false"),
            ("drop: [ALL]", "drop: []"),
            ("RuntimeDefault", "Unconfined"),
            ("seccompProfile", "seccompprofile"),
        ] {
            assert_ne!(good.replace(has, other), good);
            assert!(parse(&good.replace(has, other)).is_err(), "{other}");
        }
    }
}
