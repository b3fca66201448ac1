//! States: told once when they are there, and once when they are gone.

use std::{thread, time::Duration};

use super::{Scene, annotated, associate, token_path};
use crate::{
    expect::Expected,
    node::{PodSpec, pod::IRSA},
    patience,
};

/// A state is told within 8 s: it must hold for 4 s, and is looked for every 2 s.
const TOLD: Duration = Duration::from_secs(8);
/// It begins when policy's three seconds are over.
const UNUSED: Duration = Duration::from_secs(13);
const GONE: Duration = Duration::from_secs(4);

pub const SCENES: &[Scene] = &[
    Scene {
        name: "identity-not-injected",
        about: "shop/late and shop/moved run when their associations are made, the second with IRSA; then an association, then a pod is gone",
        play: |stage| {
            let late = stage.lab.start(PodSpec::new("shop", "late"))?;
            let (moved, _) = annotated(&mut stage.lab, "shop", "moved")?;
            let late_role = associate(&mut stage.lab, "shop", "late")?;
            let moved_role = associate(&mut stage.lab, "shop", "moved")?;
            thread::sleep(TOLD * patience());
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
            thread::sleep(UNUSED * patience());
            stage
                .lab
                .run(&dormant, &["peek", &token_path(&dormant, IRSA)])?;
            thread::sleep(GONE * patience());
            // Those of others are cleared by this, too.
            stage.lab.set_policy("")?;
            thread::sleep(GONE * patience());
            let subject = "service-account shop/dormant";
            let told = |state| Expected::posture(state, subject, "unused-credential:info");
            let mut expected = vec![
                told("raised").bound("irsa", &role),
                Expected::own_open(&dormant, IRSA).bound("irsa", &role),
                told("cleared").bound("irsa", &role),
            ];
            // Nor are those of other pods that the control plane tells of.
            for state in ["raised", "cleared"] {
                let others = told(state).whatever("subject").whatever("binding");
                expected.extend(vec![others.optional(); 20]);
            }
            Ok(expected)
        },
    },
];
