//! The opener against the token's owner.

use super::Actor;
use crate::{
    cluster::Pod,
    event::{OwnerRef, Relation},
};

/// Null `owner`: the superblock could not be traced to a pod.
///
/// UIDs alone tell own from other, so a theft shows before the cluster has told of either pod.
#[must_use]
pub fn relation(actor: &Actor<'_>, owner: Option<&OwnerRef>) -> Relation {
    match (actor, owner) {
        (Actor::Conflict { .. } | Actor::Unknown, _) => Relation::Unknown,
        (Actor::Host, _) => Relation::Host,
        (Actor::Pod { .. } | Actor::UnlistedPod { .. }, None) => Relation::Unknown,
        (Actor::Pod { pod, .. }, Some(owner)) if pod.has_uid(&owner.uid) => Relation::Own,
        (Actor::Pod { pod, .. }, Some(owner)) if same_service_account(pod, owner) => {
            Relation::SameServiceAccount
        }
        (Actor::UnlistedPod { uid }, Some(owner)) if **uid == *owner.uid => Relation::Own,
        (Actor::Pod { .. } | Actor::UnlistedPod { .. }, Some(_)) => Relation::OtherPod,
    }
}

fn same_service_account(pod: &Pod, owner: &OwnerRef) -> bool {
    owner.namespace.as_ref() == Some(&pod.namespace)
        && owner.service_account.as_ref() == Some(&pod.service_account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::pod;

    #[test]
    fn by_uid_first_then_by_service_account() {
        let web = pod("shop", "web");
        let sibling = pod("shop", "sibling").owner_ref();
        let mut other_account = sibling.clone();
        other_account.service_account = Some("api".into());
        let other_namespace = pod("payments", "api").owner_ref();
        let untold = |uid: &str| OwnerRef {
            namespace: None,
            name: None,
            uid: uid.into(),
            service_account: None,
        };
        let mut fixed = pod("shop", "static");
        fixed.mirror_hash = Some("1db680c2883dc532f70b6887258b2aa2".into());

        let of = |pod| Actor::Pod {
            pod,
            container: None,
        };
        let unlisted = Actor::UnlistedPod { uid: "uid-web" };
        let conflict = Actor::Conflict { candidates: &[] };
        let own = web.owner_ref();
        for (what, actor, owner, expected) in [
            ("own", of(&web), Some(&own), Relation::Own),
            (
                "own, owner not told of",
                of(&web),
                Some(&untold("uid-web")),
                Relation::Own,
            ),
            (
                "own, opener not told of",
                unlisted,
                Some(&own),
                Relation::Own,
            ),
            (
                "own, by a static pod's hash",
                of(&fixed),
                Some(&untold("1db680c2883dc532f70b6887258b2aa2")),
                Relation::Own,
            ),
            (
                "same account",
                of(&web),
                Some(&sibling),
                Relation::SameServiceAccount,
            ),
            (
                "other account",
                of(&web),
                Some(&other_account),
                Relation::OtherPod,
            ),
            (
                "same account name elsewhere",
                of(&web),
                Some(&other_namespace),
                Relation::OtherPod,
            ),
            (
                "other, owner not told of",
                of(&web),
                Some(&untold("uid-x")),
                Relation::OtherPod,
            ),
            (
                "other, opener not told of",
                unlisted,
                Some(&sibling),
                Relation::OtherPod,
            ),
            ("host", Actor::Host, Some(&own), Relation::Host),
            ("host, no owner", Actor::Host, None, Relation::Host),
            ("no owner", of(&web), None, Relation::Unknown),
            ("conflict", conflict, Some(&own), Relation::Unknown),
            ("unknown", Actor::Unknown, Some(&own), Relation::Unknown),
        ] {
            assert_eq!(relation(&actor, owner), expected, "{what}");
        }
    }
}
