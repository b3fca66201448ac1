//! `foreign-executable`

use crate::{
    audit::{Actor, ruling::Ruling},
    event::{Process, Severity},
};

/// A pod's process runs a program that is not of its image, and touches a credential: a memfd, a deleted file, or one that was written into
/// the container since it was made (also one that an entrypoint's `chown -R` copied up: policy exempts it).
///
/// What lies on a volume (an emptyDir that an init container filled) is none of these, and where the kernel cannot tell there is no finding.
pub fn foreign_executable(actor: &Actor<'_>, process: &Process) -> Ruling {
    match actor {
        Actor::Pod { .. } | Actor::UnlistedPod { .. } => {}
        // Of these it is not known which image they should be of.
        Actor::Host | Actor::Conflict { .. } | Actor::Unknown => return Ruling::Clear,
    }
    let exe = process.exe.as_deref();
    let how = if exe.is_some_and(|exe| exe.starts_with("memfd:")) {
        "which lies in memory only (memfd)"
    } else if process.exe_unlinked {
        "which is deleted"
    } else if process.exe_upper_layer == Some(true) {
        "which is not as in the container's image: it was written or changed since"
    } else {
        return Ruling::Clear;
    };
    let name = exe.unwrap_or(&process.comm);
    Ruling::finding(
        Severity::High,
        format!("{} runs {name}, {how}", actor.describe(process)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Said, Scene, Who, Whose, ids},
        event::{EndpointKind, FindingId, Outcome, TokenKind, Verdict},
    };

    fn running(exe: Option<&str>, unlinked: bool, upper: Option<bool>) -> Scene {
        Scene::new().edit(|s| {
            s.process.exe = exe.map(str::to_owned);
            s.process.exe_unlinked = unlinked;
            s.process.exe_upper_layer = upper;
        })
    }

    #[test]
    fn by_the_executable() {
        let high = Said::Finds(Severity::High);
        let sh = Some("/bin/sh");
        for (what, scene, expected) in [
            ("of the image", running(sh, false, Some(false)), Said::Clear),
            ("no overlay", running(sh, false, None), Said::Clear),
            ("a kernel thread", running(None, false, None), Said::Clear),
            ("upper layer", running(sh, false, Some(true)), high),
            ("deleted", running(sh, true, Some(false)), high),
            ("deleted, no overlay", running(sh, true, None), high),
            ("memfd", running(Some("memfd:x"), true, Some(false)), high),
            (
                "a file of that name",
                running(Some("/tmp/memfd:x"), false, Some(false)),
                Said::Clear,
            ),
        ] {
            let said = scene.open(
                Who::Pod("web"),
                Whose::Pod("web"),
                TokenKind::ServiceAccount,
                |case| foreign_executable(&case.actor, case.process),
            );
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn by_whose_process_it_is() {
        let scene = running(Some("memfd:x"), true, None);
        let high = Said::Finds(Severity::High);
        for (who, expected) in [
            (Who::Pod("web"), high),
            (Who::Unlisted("u"), high),
            (Who::Host, Said::Clear),
            (Who::Conflict, Said::Clear),
            (Who::Unknown, Said::Clear),
        ] {
            let said = scene.open(who, Whose::Pod("api"), TokenKind::Irsa, |case| {
                foreign_executable(&case.actor, case.process)
            });
            assert_eq!(said, expected, "{who:?}");
        }
    }

    #[test]
    fn it_stands_on_opens_and_on_connects() {
        let scene = running(Some("memfd:x"), true, None).associate("web");
        let open = scene.judge_open(Who::Pod("web"), Whose::Pod("web"), TokenKind::PodIdentity);
        assert_eq!(ids(&open.findings), [FindingId::ForeignExecutable]);
        assert_eq!(open.verdict, Verdict::Violation);
        assert_eq!(
            open.findings[0].message,
            "shop/web runs memfd:x, which lies in memory only (memfd)"
        );
        let agent = EndpointKind::PodIdentityAgent;
        let connect = scene.judge_connect(Who::Pod("web"), agent, Outcome::Established);
        assert_eq!(ids(&connect.findings), [FindingId::ForeignExecutable]);
    }
}
