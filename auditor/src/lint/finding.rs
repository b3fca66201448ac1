//! What is found, and what could not be decided. The ids are a contract: pipelines depend on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;
use serde_json::Value;

use super::trust_policy::clip;
use crate::event::word;

/// In the order of the table in `docs/lint.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Id {
    TrustPolicyMalformed,
    TrustDenied,
    TrustOpenToAnyone,
    StringEqualsWildcard,
    ForAllValuesOnOneValue,
    RoleArnMalformed,
    RoleArnSurrounded,
    RoleArnNameOnly,
    RoleArnWrongPartition,
    RolePathMismatch,
    RoleNameCaseMismatch,
    PodIdentityTrustMissing,
    PodIdentityTrustMissingAssumeRole,
    PodIdentityTrustMissingTagSession,
    PodIdentityConditionMismatch,
    PodIdentityConditionWithoutTags,
    PodIdentityConditionIfExists,
    PodIdentityTagWildcard,
    PodIdentityRoleOtherAccount,
    PodIdentityOnFargate,
    TargetRoleTrustMissing,
    TargetRoleTrustMissingAssumeRole,
    TargetRoleTrustMissingTagSession,
    TargetRoleExternalIdMismatch,
    TargetRoleConditionMismatch,
    IrsaTrustMissing,
    IrsaTrustWrongAction,
    IrsaProviderMismatch,
    IrsaProviderMalformed,
    IrsaProviderOtherAccount,
    IrsaRoleOtherAccount,
    IrsaAudMismatch,
    IrsaSubMismatch,
    IrsaConditionKeyMismatch,
    IrsaConditionMismatch,
    IrsaMissingSub,
    IrsaMissingAud,
    IrsaSubAnyNamespace,
    IrsaSubAnyServiceAccount,
    IrsaForeignProvider,
    ServiceAccountBothMechanisms,
    AssociationServiceAccountMissing,
    AssociationNamespaceMissing,
    PodNotInjected,
    PodOlderThanAssociation,
    PodRoleDrift,
    PodPartialEnvironment,
    PodStaticKeys,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It does not work, or lets in whom nobody meant.
    Error,
    /// It works, or may, and is probably not meant so.
    Warning,
}

impl Id {
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::ForAllValuesOnOneValue
            | Self::PodIdentityConditionIfExists
            | Self::PodIdentityTagWildcard
            | Self::IrsaRoleOtherAccount
            | Self::IrsaMissingAud
            | Self::IrsaSubAnyServiceAccount
            | Self::IrsaForeignProvider
            | Self::ServiceAccountBothMechanisms
            | Self::AssociationServiceAccountMissing
            | Self::AssociationNamespaceMissing
            | Self::PodNotInjected
            | Self::PodOlderThanAssociation
            | Self::PodRoleDrift
            | Self::PodPartialEnvironment
            | Self::PodStaticKeys => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Association,
    ServiceAccount,
    Role,
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    pub kind: Kind,
    /// Null of a role.
    pub namespace: Option<String>,
    /// Of a role its ARN.
    pub name: String,
}

impl Subject {
    pub fn association(namespace: &str, name: &str) -> Self {
        Self::in_namespace(Kind::Association, namespace, name)
    }

    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::in_namespace(Kind::ServiceAccount, namespace, name)
    }

    fn in_namespace(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: Some(clip(namespace)),
            name: clip(name),
        }
    }

    pub fn role(arn: &str) -> Self {
        Self {
            kind: Kind::Role,
            namespace: None,
            name: clip(arn),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Association => "association",
            Kind::ServiceAccount => "ServiceAccount",
            Kind::Role => "role",
        };
        match &self.namespace {
            Some(namespace) => write!(f, "{kind} {namespace}/{}", self.name),
            None => write!(f, "{kind} {}", self.name),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub id: Id,
    pub severity: Severity,
    pub subject: Subject,
    /// The role whose trust policy, or whose name, is wrong.
    pub role: Option<String>,
    /// The file that told of it.
    pub file: Option<String>,
    /// What is wrong, by the words that are in force.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The statement that would do.
    pub statement: Option<Value>,
}

/// A question that the files do not answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Undecided {
    pub subject: Subject,
    pub question: String,
    /// What would answer it.
    pub lacks: Vec<String>,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub associations: usize,
    pub service_accounts: usize,
    pub pods: usize,
    /// That an association or an annotation names.
    pub roles: usize,
}

/// All of it; the output of `--output json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub schema: &'static str,
    pub checked: Checked,
    pub errors: usize,
    pub warnings: usize,
    /// The first [`KEPT`], errors first.
    pub findings: Vec<Finding>,
    pub undecided: Vec<Undecided>,
}

/// A cluster of a thousand roles has room for ten mistakes each.
pub const KEPT: usize = 10_000;

/// Collects; each of a kind once.
#[derive(Debug, Default)]
pub struct Findings {
    found: BTreeMap<(Severity, Id, Subject, String), Finding>,
    undecided: BTreeMap<(Subject, String), BTreeSet<String>>,
    not_kept: BTreeMap<Severity, usize>,
}

/// A finding without where it is.
#[derive(Clone, Debug)]
pub struct Remark {
    pub id: Id,
    pub message: String,
    pub remedy: String,
    pub statement: Option<Value>,
}

impl Remark {
    pub fn new(id: Id, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            id,
            message: message.into(),
            remedy: remedy.into(),
            statement: None,
        }
    }

    #[must_use]
    pub fn with(mut self, statement: Value) -> Self {
        self.statement = Some(statement);
        self
    }
}

impl Findings {
    /// `role` is an ARN and the file that told of it.
    pub fn add(&mut self, subject: &Subject, role: Option<(&str, Option<&str>)>, remark: Remark) {
        let Remark {
            id,
            message,
            remedy,
            statement,
        } = remark;
        let severity = id.severity();
        let key = (severity, id, subject.clone(), message.clone());
        if self.found.len() >= KEPT && !self.found.contains_key(&key) {
            *self.not_kept.entry(severity).or_default() += 1;
            return;
        }
        self.found.entry(key).or_insert_with(|| Finding {
            id,
            severity,
            subject: subject.clone(),
            role: role.map(|(arn, _)| clip(arn)),
            file: role.and_then(|(_, file)| file.map(str::to_owned)),
            message,
            remedy,
            statement,
        });
    }

    pub fn undecided(
        &mut self,
        subject: &Subject,
        question: impl Into<String>,
        lacks: impl IntoIterator<Item = String>,
    ) {
        let key = (subject.clone(), question.into());
        if self.undecided.len() < KEPT || self.undecided.contains_key(&key) {
            self.undecided.entry(key).or_default().extend(lacks);
        }
    }

    pub fn report(self, checked: Checked) -> Report {
        let count = |severity: Severity| {
            let kept = self.found.keys().filter(|(of, ..)| *of == severity).count();
            kept + self.not_kept.get(&severity).copied().unwrap_or_default()
        };
        Report {
            schema: "auditor-lint/v1",
            checked,
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            undecided: self
                .undecided
                .into_iter()
                .map(|((subject, question), lacks)| Undecided {
                    subject,
                    question,
                    lacks: lacks.into_iter().collect(),
                })
                .collect(),
            findings: self.found.into_values().collect(),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&word(self))
    }
}
