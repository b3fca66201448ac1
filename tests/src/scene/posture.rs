//! States: told once when they are there, and once when they are gone.

use std::time::Duration;

use serde_json::Value;

use super::{Scene, annotated, associate, token_path};
use crate::{
    expect::{Expected, facts},
    node::{PodSpec, pod::IRSA},
};

/// A state is told within 8 s: it must hold for 4 s, and is looked for every 2 s.
const TOLD: Duration = Duration::from_secs(8);
/// It begins when policy's three seconds are over.
const UNUSED_TOLD: Duration = Duration::from_secs(13);
const GONE: Duration = Duration::from_secs(4);
const UNUSED: &str = "unused-credential";

/// How many lines tell that `finding` is in `state`, of `subject` or of any.
fn told(lines: &[Value], state: &str, finding: &str, subject: Option<&str>) -> usize {
    let tells = |line: &&Value| {
        line["event"] == "finding"
            && line["state"] == state
            && line["findings"][0]["id"] == finding
            && subject.is_none_or(|subject| facts(line)["subject"] == subject)
    };
    lines.iter().filter(tells).count()
}

pub const SCENES: &[Scene] = &[
    Scene {
        name: "identity-not-injected",
        about: "shop/late and shop/moved run when their associations are made, the second with IRSA; then an association, then a pod is gone",
        play: |stage| {
            let late = stage.lab.start(PodSpec::new("shop", "late"))?;
            let (moved, _) = annotated(&mut stage.lab, "shop", "moved")?;
            let late_role = associate(&mut stage.lab, "shop", "late")?;
            let moved_role = associate(&mut stage.lab, "shop", "moved")?;
            let both = [&late, &moved].map(|pod| format!("pod {}", pod.key()));
            stage.wait_for_lines(TOLD, |lines| {
                let raised = |pod| told(lines, "raised", "identity-not-injected", Some(pod)) > 0;
                both.iter().all(|pod| raised(pod))
            });
            stage.lab.cluster.dissociate("shop", "late")?;
            stage.lab.cluster.remove_pod(&moved.spec)?;
            let mut expected = Vec::new();
            for (pod, role) in [(&late, &late_role), (&moved, &moved_role)] {
                let subject = format!("pod {}", pod.key());
                for state in ["raised", "cleared"] {
                    expected.push(
                        Expected::posture(state, &subject, "identity-not-injected:medium")
                            .bound("pod-identity", role),
                    );
                }
            }
            Ok(expected)
        },
    },
    Scene {
        name: "unused-credential",
        about: "nobody uses shop/dormant's role for the three seconds that policy allows now; then it reads its token",
        play: |stage| {
            let (dormant, role) = annotated(&mut stage.lab, "shop", "dormant")?;
            stage.lab.set_policy("unused_after: 3s\n")?;
            let subject = "service-account shop/dormant";
            let tells = |state: &'static str| {
                move |lines: &[Value]| told(lines, state, UNUSED, Some(subject)) > 0
            };
            stage.wait_for_lines(UNUSED_TOLD, tells("raised"));
            stage
                .lab
                .run(&dormant, &["peek", &token_path(&dormant, IRSA)])?;
            stage.wait_for_lines(GONE, tells("cleared"));
            // Those of others are cleared by this, too.
            stage.lab.set_policy("")?;
            stage.wait_for_lines(GONE, |lines| {
                told(lines, "raised", UNUSED, None) == told(lines, "cleared", UNUSED, None)
            });
            let line = |state| Expected::posture(state, subject, &format!("{UNUSED}:info"));
            let mut expected = vec![
                line("raised").bound("irsa", &role),
                Expected::own_open(&dormant, IRSA).bound("irsa", &role),
                line("cleared").bound("irsa", &role),
            ];
            // Nor are those of other pods that the control plane tells of.
            for state in ["raised", "cleared"] {
                let others = line(state).whatever("subject").whatever("binding");
                expected.extend(vec![others.optional(); 20]);
            }
            Ok(expected)
        },
    },
];
