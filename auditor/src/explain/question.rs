//! When each rule fires, in a few words.

use crate::event::FindingId;

pub(super) fn question(id: FindingId) -> &'static str {
    match id {
        FindingId::ForeignTokenOpen => "the opener is in another pod than the token's owner",
        FindingId::TokenHarvest => {
            "the opener took tokens of two or more other pods within ten minutes"
        }
        FindingId::HostTokenOpen => "the opener is outside every pod, and not the kubelet",
        FindingId::ForeignTokenReceived => {
            "the receiver is not of the pod whose token or connection it is"
        }
        FindingId::StealthAgentConnection => {
            "no connect that was seen explains what the agent accepted"
        }
        FindingId::AgentImpersonation => "whoever listens or accepts is not the agent",
        FindingId::IdentityMismatch => "cgroup and namespaces disagree on whose process it is",
        FindingId::CredentialMemoryAccess => {
            "the memory of a pod with a token for AWS, asked for from outside it or from an exec session"
        }
        FindingId::UnassociatedAgentConnect => {
            "the agent was reached, and no association binds the ServiceAccount"
        }
        FindingId::UnboundTokenOpen => {
            "the pod's own IRSA or Pod Identity token, which nothing binds to a role"
        }
        FindingId::RoleDrift => "IRSA: the pod's role is not the one that its ServiceAccount names",
        FindingId::TokenWrite => "the token was opened for writing",
        FindingId::ExecSessionTokenOpen => "the opener came from outside the container",
        FindingId::ForeignExecutable => {
            "the program is in memory only, deleted, or not of the image"
        }
        FindingId::UnexpectedExecutable => {
            "the program is neither listed by policy nor learned for the ServiceAccount"
        }
        FindingId::RawSocket => {
            "a pod with a network of its own asks for a packet or raw TCP socket"
        }
        FindingId::AgentConnectWithoutToken => {
            "the agent was reached, and no open of the pod's own token was seen before"
        }
        FindingId::NodeRoleFallback => {
            "instance metadata was reached by a pod that policy's `node_role` does not name"
        }
        FindingId::DeniedTokenOpen => "the kernel refused the open",
        FindingId::AgentUnreachable => "the agent refused, could not be reached, or gave no answer",
        FindingId::IdentityNotInjected => {
            "a binding exists, and the running pod lacks what EKS's webhook stamps"
        }
        FindingId::UnusedCredential => "no pod used the binding for policy's `unused_after`",
    }
}
