//! What each ServiceAccount's pods run: learned of what is judged, and judged by what was learned.

use jiff::Timestamp;

use super::{Pipeline, actor::Who};
use crate::{
    audit::{Familiarity, Judgement, Learned, teaches},
    event::{Health, Process},
};

impl Pipeline {
    /// What the next run should know of what is run.
    pub fn learned(&self) -> impl Iterator<Item = &Learned> {
        self.baselines.iter()
    }

    pub(super) fn familiarity(&self, who: &Who, process: &Process, time: Timestamp) -> Familiarity {
        let learn_for = self.sources.policy().learn_for();
        who.pod().map_or(Familiarity::Unjudged, |pod| {
            self.baselines.familiarity(pod, process, time, learn_for)
        })
    }

    /// A pod used its own credentials.
    pub(super) fn learn(
        &mut self,
        who: &Who,
        process: &Process,
        time: Timestamp,
        judgement: &Judgement,
    ) {
        let (Some(pod), Some(learn_for)) = (who.pod(), self.sources.policy().learn_for()) else {
            return;
        };
        if !teaches(&judgement.findings, &judgement.undetermined)
            || !self.baselines.note(pod, process, time, learn_for)
        {
            return;
        }
        let (namespace, account) = (&pod.namespace, &pod.service_account);
        self.health(Health {
            component: "policy".to_owned(),
            state: "degraded".to_owned(),
            message: format!(
                "ServiceAccount {namespace}/{account} uses its credentials with more programs than are learned, and is not judged \
                 by them; list what it runs in the policy's `executables`"
            ),
        });
    }
}
