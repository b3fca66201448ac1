//! `auditor lint`: its flags, the files that they name, and what it prints.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{
    Exit, Failure, UsageError,
    files::{file_source, print, read_file},
};
use crate::{
    association, cluster,
    lint::{Given, Inputs, Report, Role, Severity, bare_issuer, parse_roles, render},
};

pub(super) const EXAMPLES: &str = r#"EXAMPLES:
  Everything that can be told from files:
    auditor lint --fail-on never \
      --associations file:docs/samples/lint/associations.json \
      --cluster file:docs/samples/lint/cluster.json \
      --role docs/samples/lint/roles \
      --oidc-issuer https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE

  The same for a program: what to add to which role:
    auditor lint --fail-on never --output json \
      --associations file:docs/samples/lint/associations.json \
      --role docs/samples/lint/roles |
      jq '.findings[] | select(.statement) | {role, statement}'

  In a pipeline: only errors are a failure. The rest of what is asked for here is printed by
  aws eks describe-cluster --name prod --query cluster.identity.oidc.issuer --output text
    kubectl get pods,serviceaccounts -A -o json > cluster.json
    auditor lint --cluster file:cluster.json --role docs/samples/lint/roles/shop-web.json \
      --fail-on error

  Where a question that stays open is a failure, too (here none does):
    auditor lint --cluster file:cluster.json --role docs/samples/lint/roles/shop-web.json \
      --fail-on undecided

Roles are what `aws iam get-role --role-name NAME` prints, one a file or many. docs/lint.md lists what is found.

EXIT STATUS:
  0  nothing was found, or nothing that --fail-on names; what is undecided is no finding, but --fail-on undecided names it
  1  something was found; or a file cannot be read, or is not what it should be
  2  usage: an unknown flag, or a value that is not allowed"#;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LintOutput {
    #[default]
    Text,
    Json,
}

/// What makes the exit status 1; each but the last takes in those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// An error
    Error,
    /// An error or a warning
    #[default]
    Warning,
    /// An error, a warning, or a question that the files leave open
    Undecided,
    /// Nothing that is found
    Never,
}

#[derive(Args, Clone, Debug, Default)]
pub struct LintArgs {
    /// Pod Identity associations, as `run` takes them
    #[arg(long, value_name = "file:PATH", help_heading = "What is checked")]
    pub associations: Option<String>,

    /// ServiceAccounts and pods, as `run` takes them
    #[arg(long, value_name = "file:PATH", help_heading = "What is checked")]
    pub cluster: Option<String>,

    /// A role with its trust policy, as `aws iam get-role` prints it, or many (an array, `list-roles`,
    /// `get-account-authorization-details`), or a directory of such files (*.json); repeatable
    #[arg(long, value_name = "PATH", help_heading = "What is checked")]
    pub role: Vec<PathBuf>,

    /// This cluster's OIDC issuer, as `aws eks describe-cluster --query cluster.identity.oidc.issuer` prints it
    /// [default: where a role trusts one alone, that one]
    #[arg(long, value_name = "URL", help_heading = "The cluster")]
    pub oidc_issuer: Option<String>,

    /// The issuer of another cluster that may have the same roles, as in a blue/green pair; repeatable
    #[arg(long, value_name = "URL", help_heading = "The cluster")]
    pub other_issuer: Vec<String>,

    /// This cluster's AWS account [default: as associations tell]
    #[arg(long, value_name = "ID", help_heading = "The cluster")]
    pub account: Option<String>,

    /// This cluster's name; of associations of several clusters, those of this one [default: as associations tell]
    #[arg(
        long,
        env = "CLUSTER_NAME",
        value_name = "NAME",
        help_heading = "The cluster"
    )]
    pub cluster_name: Option<String>,

    /// How to print what is found
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LintOutput::Text, help_heading = "Output")]
    pub output: LintOutput,

    /// What makes the exit status 1
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Warning, help_heading = "Output")]
    pub fail_on: FailOn,
}

/// What they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LintConfig {
    pub associations: Option<PathBuf>,
    pub cluster: Option<PathBuf>,
    pub roles: Vec<PathBuf>,
    pub given: Given,
    pub output: LintOutput,
    pub fail_on: FailOn,
}

impl LintArgs {
    /// # Errors
    /// When a source is no file, an issuer no URL or an account no number, or nothing is to be checked.
    pub fn config(self) -> Result<LintConfig, UsageError> {
        let Self {
            associations,
            cluster,
            role,
            oidc_issuer,
            other_issuer,
            account,
            cluster_name,
            output,
            fail_on,
        } = self;
        let associations = file_source(
            "--associations",
            associations,
            "--associations file:associations.json",
        )?;
        let cluster = file_source("--cluster", cluster, "--cluster file:cluster.json")?;
        if associations.is_none() && cluster.is_none() {
            return Err(UsageError::Missing {
                flag: "--associations or --cluster",
                allowed: "something must bind roles",
                example: "--associations file:associations.json --cluster file:cluster.json",
            });
        }
        let given = Given {
            issuer: oidc_issuer
                .map(|url| issuer("--oidc-issuer", &url))
                .transpose()?,
            other_issuers: other_issuer
                .iter()
                .map(|url| issuer("--other-issuer", url))
                .collect::<Result<_, _>>()?,
            account: account.map(account_id).transpose()?,
            cluster: cluster_name.filter(|name| !name.is_empty()),
        };
        Ok(LintConfig {
            associations,
            cluster,
            roles: role,
            given,
            output,
            fail_on,
        })
    }
}

fn issuer(flag: &'static str, url: &str) -> Result<String, UsageError> {
    let bare = bare_issuer(url);
    let host = bare.split('/').next().unwrap_or_default();
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-._~:/".contains(c);
    if !host.contains('.') || !bare.chars().all(is_word) || bare.contains("://") {
        return Err(UsageError::value(
            flag,
            url,
            "the URL of an OIDC issuer",
            "--oidc-issuer https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE",
        ));
    }
    Ok(bare.to_owned())
}

fn account_id(id: String) -> Result<String, UsageError> {
    if id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(id);
    }
    Err(UsageError::value(
        "--account",
        &id,
        "the 12 digits of an AWS account",
        "--account 111122223333",
    ))
}

/// # Errors
/// When a file cannot be read, or is not what it should be.
pub fn lint(args: LintArgs) -> Result<Exit, Failure> {
    let config = args.config()?;
    let inputs = read(&config)?;
    let report = crate::lint::lint(&inputs);
    print(&encoded(&report, config.output)?)?;
    let fails = match config.fail_on {
        FailOn::Error => report.has(Severity::Error),
        FailOn::Warning => report.has(Severity::Warning),
        FailOn::Undecided => report.has(Severity::Warning) || !report.undecided.is_empty(),
        FailOn::Never => false,
    };
    Ok(if fails {
        Exit::Environment
    } else {
        Exit::Success
    })
}

fn encoded(report: &Report, output: LintOutput) -> Result<String, Failure> {
    Ok(match output {
        LintOutput::Text => render(report),
        LintOutput::Json => {
            let text = serde_json::to_string(report).map_err(Failure::environment)?;
            crate::plain::json(&text) + "\n"
        }
    })
}

fn read(config: &LintConfig) -> Result<Inputs, Failure> {
    let given = config.given.clone();
    let associations = match &config.associations {
        Some(path) => Some(
            association::parse(&read_file(path)?, given.cluster.as_deref())
                .map_err(|error| bad(path, &error))?,
        ),
        None => None,
    };
    let contents = match &config.cluster {
        Some(path) => Some(cluster::parse(&read_file(path)?).map_err(|error| bad(path, &error))?),
        None => None,
    };
    let mut roles = Vec::new();
    for path in &config.roles {
        roles.extend(read_roles(path)?);
    }
    Ok(Inputs {
        given,
        associations,
        contents,
        roles,
    })
}

/// Of a directory all files `*.json`, in the order of their names.
fn read_roles(path: &Path) -> Result<Vec<Role>, Failure> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries: Vec<fs::DirEntry> = fs::read_dir(path)
            .and_then(Iterator::collect)
            .map_err(|error| bad(path, &error))?;
        files = entries
            .into_iter()
            .map(|entry| entry.path())
            .filter(|file| {
                file.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .collect();
        files.sort();
        if files.is_empty() {
            return Err(bad(path, &"has no file *.json"));
        }
    }
    let mut roles = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let read = parse_roles(&read_file(&file)?, &name).map_err(|error| bad(&file, &error))?;
        roles.extend(read);
    }
    Ok(roles)
}

fn bad(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::environment(anyhow::anyhow!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
