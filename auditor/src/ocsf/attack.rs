//! Techniques of MITRE ATT&CK that the rules show, as in `docs/findings.md`.

use serde_json::{Value, json};

use crate::event::FindingId;

/// `attack`; none where a rule shows a mistake rather than an attack.
pub(super) fn technique(finding: FindingId) -> Option<Value> {
    use FindingId as F;
    Some(match finding {
        F::ForeignTokenOpen
        | F::TokenHarvest
        | F::HostTokenOpen
        | F::ForeignTokenReceived
        | F::DeniedTokenOpen => whole("T1528", "Steal Application Access Token"),
        F::StealthAgentConnection | F::NodeRoleFallback => sub(
            ("T1552", "Unsecured Credentials"),
            ("T1552.005", "Cloud Instance Metadata API"),
        ),
        F::AgentImpersonation => whole("T1557", "Adversary-in-the-Middle"),
        F::IdentityMismatch => whole("T1611", "Escape to Host"),
        F::CredentialMemoryAccess => sub(
            ("T1003", "OS Credential Dumping"),
            ("T1003.007", "Proc Filesystem"),
        ),
        F::UnassociatedAgentConnect | F::AgentConnectWithoutToken => sub(
            ("T1550", "Use Alternate Authentication Material"),
            ("T1550.001", "Application Access Token"),
        ),
        F::UnboundTokenOpen => sub(("T1078", "Valid Accounts"), ("T1078.004", "Cloud Accounts")),
        F::RoleDrift => whole("T1098", "Account Manipulation"),
        F::TokenWrite => sub(
            ("T1565", "Data Manipulation"),
            ("T1565.001", "Stored Data Manipulation"),
        ),
        F::ExecSessionTokenOpen => whole("T1609", "Container Administration Command"),
        F::ForeignExecutable => whole("T1105", "Ingress Tool Transfer"),
        F::RawSocket => whole("T1040", "Network Sniffing"),
        F::UnexpectedExecutable => whole("T1059", "Command and Scripting Interpreter"),
        F::AgentUnreachable | F::IdentityNotInjected | F::UnusedCredential => return None,
    })
}

fn whole(uid: &str, name: &str) -> Value {
    json!({"technique": {"uid": uid, "name": name}})
}

fn sub(technique: (&str, &str), sub: (&str, &str)) -> Value {
    json!({
        "technique": {"uid": technique.0, "name": technique.1},
        "sub_technique": {"uid": sub.0, "name": sub.1},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/findings.md`: the id in the first column, the technique in the last.
    #[test]
    fn techniques_are_those_of_the_documentation() {
        let text = include_str!("../../../docs/findings.md");
        let mut rows = 0;
        for row in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let id = cells.first().unwrap().trim_matches('`');
            let id: FindingId = serde_json::from_value(json!(id)).unwrap();
            let said = technique(id).map(|attack| {
                let sub = attack["sub_technique"]["uid"].as_str();
                sub.or(attack["technique"]["uid"].as_str())
                    .unwrap()
                    .to_owned()
            });
            let documented = cells.last().unwrap().trim_matches(|c| c == '|' || c == ' ');
            let documented = (!["", "-"].contains(&documented)).then(|| documented.to_owned());
            assert_eq!(said, documented, "{row}");
            rows += 1;
        }
        // That none is missing tests/tests/findings.rs holds.
        assert!(rows >= 22, "{rows} rows of the table");
    }
}
