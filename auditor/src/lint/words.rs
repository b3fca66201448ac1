//! Parts of messages, and the statements that they propose.

use serde_json::{Value, json};

use super::{
    condition::{Condition, Fact, Facts},
    trust_policy::{Statement, clip},
};
use crate::association::Association;

/// What a condition wants, and what it gets.
pub fn failed(condition: &Condition, facts: &dyn Facts) -> String {
    let wants = quoted(&condition.values);
    let verb = if condition.operator.negated {
        "wants it not to be"
    } else {
        "wants"
    };
    let gets = match facts.fact(&condition.key()) {
        Fact::Is(values) => format!("the request will hold {}", quoted(&values)),
        Fact::Absent => "the request will not hold that key".to_owned(),
        Fact::Present | Fact::Unknown => "that does not hold".to_owned(),
    };
    format!(
        "{} on {} {verb} {wants}, but {gets}",
        clip(&condition.written),
        clip(&condition.key)
    )
}

/// `"a", "b" and 3 more`
pub fn quoted<T: AsRef<str>>(texts: &[T]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = texts
        .iter()
        .take(SHOWN)
        .map(|text| format!("{:?}", clip(text.as_ref())))
        .collect();
    match texts.len().saturating_sub(SHOWN) {
        0 if texts.is_empty() => "nothing".to_owned(),
        0 => shown.join(" or "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What EKS Pod Identity asks for.
pub fn pod_identity_statement() -> Value {
    json!({
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"]
    })
}

/// With what tells this association from others: three tags, or, where it has none, the cluster.
pub fn pod_identity_statement_for(association: &Association, cluster: Option<&str>) -> Value {
    let mut statement = pod_identity_statement();
    if association.disable_session_tags {
        if let Some(cluster) = cluster {
            statement["Condition"] = json!({"ArnEquals": {"aws:SourceArn": cluster}});
        }
        return statement;
    }
    let mut tags = json!({
        "aws:RequestTag/kubernetes-namespace": association.namespace,
        "aws:RequestTag/kubernetes-service-account": association.service_account
    });
    if let Some(cluster) = cluster {
        tags["aws:RequestTag/eks-cluster-arn"] = cluster.into();
    }
    statement["Condition"] = json!({"StringEquals": tags});
    statement
}

/// For a target role; `external` is the association's external id, where it must be the condition.
pub fn target_statement(role: &str, external: Option<&str>) -> Value {
    let mut statement = json!({
        "Effect": "Allow",
        "Principal": {"AWS": role},
        "Action": ["sts:AssumeRole", "sts:TagSession"]
    });
    if let Some(external) = external {
        statement["Condition"] = json!({"StringEquals": {"sts:ExternalId": external}});
    }
    statement
}

/// What IRSA asks for.
pub fn irsa_statement(provider: &str, issuer: &str, audience: &str, subject: &str) -> Value {
    let (aud, sub) = (format!("{issuer}:aud"), format!("{issuer}:sub"));
    json!({
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {aud: audience, sub: subject}}
    })
}

/// The names that a role's statements trust, for a message.
pub fn trusts<'a>(statements: impl IntoIterator<Item = &'a Statement>) -> String {
    use super::trust_policy::Principal;
    let mut names: Vec<&str> = Vec::new();
    for statement in statements {
        match &statement.principal {
            Principal::Anyone => names.push("*"),
            Principal::Listed(listed) => names.extend(listed.iter().map(|(_, name)| name.as_str())),
            Principal::Not => names.push("NotPrincipal"),
        }
    }
    names.dedup();
    quoted(&names)
}
