//! Roles that are not, or no longer, what the pod was given.

use super::{Scene, annotated, token_path};
use crate::{
    expect::Expected,
    node::{PodSpec, TokenVolume, cluster::ROLES, pod::IRSA},
    token,
};

pub const SCENES: &[Scene] = &[
    Scene {
        name: "role-drift",
        about: "payments/audit's ServiceAccount names another role since the pod started, and the pod reads its token",
        play: |stage| {
            let (pod, _) = annotated(&mut stage.lab, "payments", "audit")?;
            stage
                .lab
                .cluster
                .annotate("payments", "audit", &format!("{ROLES}/another"))?;
            stage.lab.run(&pod, &["peek", &token_path(&pod, IRSA)])?;
            // Which of the two roles counts as the binding, the design leaves open.
            Ok(vec![
                Expected::own_open(&pod, IRSA)
                    .whatever("binding")
                    .judged("violation", "role-drift:high"),
            ])
        },
    },
    Scene {
        name: "unbound-irsa",
        about: "shop/scraper projects a token for STS by itself; no annotation or variable binds it to a role",
        play: |stage| {
            let token = TokenVolume::new("irsa", "sts", "/var/run/sts", "token", token::STS);
            let pod = stage
                .lab
                .start(PodSpec::new("shop", "scraper").with_token(token))?;
            stage.lab.run(&pod, &["peek", "/var/run/sts/token"])?;
            Ok(vec![
                Expected::own_open(&pod, "sts").judged("violation", "unbound-token-open:high"),
            ])
        },
    },
];
