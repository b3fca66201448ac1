//! Who asks, and what RBAC gives them: no more than the design, so that a request for more fails every test.

use super::resource::{Resource, Target, Verb};

/// A ServiceAccount with a token of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `auditor run` on a node.
    Node,
    /// `auditor sync-associations`.
    Sync,
    /// The test itself.
    Admin,
}

impl Role {
    #[must_use]
    pub fn user(self) -> &'static str {
        match self {
            Self::Node => "system:serviceaccount:kube-system:auditor",
            Self::Sync => "system:serviceaccount:kube-system:auditor-sync",
            Self::Admin => "kubernetes-admin",
        }
    }

    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::Node => "lab-token-of-node",
            Self::Sync => "lab-token-of-sync",
            Self::Admin => "lab-token-of-admin",
        }
    }

    /// By an Authorization header.
    #[must_use]
    pub fn of(header: &str) -> Option<Self> {
        let token = header.strip_prefix("Bearer ")?;
        [Self::Node, Self::Sync, Self::Admin]
            .into_iter()
            .find(|role| role.token() == token)
    }

    /// A right of a Role with `resourceNames` covers lists and watches whose field selector names that object.
    #[must_use]
    pub fn may(self, target: &Target) -> bool {
        use Verb::{Create, Get, List, Update, Watch};
        let is_named = target.name.is_some() || named(target).is_some();
        match (self, target.resource, target.verb) {
            (Self::Admin, ..)
            | (Self::Node, Resource::Pods, List | Watch)
            | (Self::Node | Self::Sync, Resource::PodIdentityAssociations, List | Watch)
            | (Self::Node, Resource::ServiceAccounts, Get) => true,
            (Self::Sync, Resource::ConfigMaps | Resource::Leases, Get | Create | Update) => {
                target.namespace.is_some()
            }
            (Self::Node, Resource::ConfigMaps, Get | List | Watch) => {
                target.namespace.is_some() && is_named
            }
            _ => false,
        }
    }
}

/// The one object that the field selector leaves.
fn named(target: &Target) -> Option<&str> {
    let selector = target.parameter("fieldSelector");
    selector
        .split(',')
        .find_map(|term| term.strip_prefix("metadata.name="))
}
