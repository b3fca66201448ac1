//! ARNs of roles, as annotations and associations name them.

use std::fmt;

use super::trust_policy::clip;

/// `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArn {
    pub partition: String,
    pub account: String,
    /// With its slashes: `/` or `/team/`.
    pub path: String,
    pub name: String,
}

/// Why a text is no ARN of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRoleArn {
    /// Without its white space or quotes it would be this.
    Surrounded(String),
    /// `my-role`, `role/my-role`
    Name,
    /// A part is wrong; says which.
    Malformed(String),
}

impl RoleArn {
    /// # Errors
    /// See [`NoRoleArn`].
    pub fn parse(text: &str) -> Result<Self, NoRoleArn> {
        let malformed = |what: String| Err(NoRoleArn::Malformed(what));
        let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'');
        if trimmed.len() != text.len() {
            return match Self::parse(trimmed) {
                Ok(_) => Err(NoRoleArn::Surrounded(trimmed.to_owned())),
                Err(why) => Err(why),
            };
        }
        if text.contains(['<', '>', '$', '{', '}']) {
            return malformed("a placeholder was left in it".to_owned());
        }
        if !text.starts_with("arn:") {
            let is_name = !text.is_empty() && text.chars().all(|c| is_name(c) || c == '/');
            return if is_name {
                Err(NoRoleArn::Name)
            } else {
                malformed("it does not begin with arn:".to_owned())
            };
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [_, partition, service, region, account, resource] = parts[..] else {
            return malformed(format!(
                "it has {} parts between colons, not 6",
                parts.len()
            ));
        };
        if !partition.starts_with("aws")
            || !partition
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '-')
        {
            return malformed(format!("{:?} is no partition", clip(partition)));
        }
        if service != "iam" {
            let hint = match (service, resource.starts_with("assumed-role/")) {
                ("sts", true) => ": that is a session of the role, not the role",
                _ => "",
            };
            return malformed(format!(
                "its service is {:?}, not \"iam\"{hint}",
                clip(service)
            ));
        }
        if !region.is_empty() {
            return malformed(format!(
                "it names the region {:?}; IAM has none, so two colons follow \"iam\"",
                clip(region)
            ));
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return malformed(format!(
                "{:?} is no account: that is 12 digits",
                clip(account)
            ));
        }
        let Some(path) = resource.strip_prefix("role/") else {
            return malformed(format!("{:?} is no role: role/NAME is", clip(resource)));
        };
        let (path, name) = match path.rsplit_once('/') {
            Some((path, name)) => (format!("/{path}/"), name),
            None => ("/".to_owned(), path),
        };
        if path.contains("//") {
            return malformed("its path has an empty part".to_owned());
        }
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_name) {
            return malformed(format!("{:?} is no role's name", clip(name)));
        }
        Ok(Self {
            partition: partition.to_owned(),
            account: account.to_owned(),
            path,
            name: name.to_owned(),
        })
    }
}

/// IAM: letters, digits and `+=,.@-_`.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+=,.@-_".contains(c)
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            account,
            path,
            name,
        } = self;
        write!(f, "arn:{partition}:iam::{account}:role{path}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_paths_and_partitions() {
        for (text, path, name) in [
            ("arn:aws:iam::111122223333:role/api", "/", "api"),
            ("arn:aws-cn:iam::111122223333:role/a/b/api", "/a/b/", "api"),
            (
                "arn:aws-us-gov:iam::111122223333:role/x+=,.@-_1",
                "/",
                "x+=,.@-_1",
            ),
        ] {
            let arn = RoleArn::parse(text).unwrap();
            assert_eq!((&*arn.path, &*arn.name), (path, name));
            assert_eq!(arn.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let arn = "arn:aws:iam::111122223333:role/api";
        assert_eq!(
            RoleArn::parse(&format!(" {arn}\n")),
            Err(NoRoleArn::Surrounded(arn.to_owned()))
        );
        for name in ["api", "role/api", "/team/api"] {
            assert_eq!(RoleArn::parse(name), Err(NoRoleArn::Name), "{name}");
        }
        for (text, word) in [
            ("", "arn:"),
            ("arn:aws:iam:111122223333:role/api", "5 parts"),
            ("arn:aws:iam:us-east-1:111122223333:role/api", "region"),
            ("arn:AWS:iam::111122223333:role/api", "partition"),
            ("arn:aws:iam::1111-2222-3333:role/api", "12 digits"),
            ("arn:aws:iam::<account>:role/api", "placeholder"),
            ("arn:aws:iam::111122223333:user/api", "no role"),
            ("arn:aws:iam::111122223333:instance-profile/api", "no role"),
            ("arn:aws:sts::111122223333:assumed-role/api/s", "session"),
            ("arn:aws:iam::111122223333:role/", "name"),
            ("arn:aws:iam::111122223333:role//api", "empty part"),
            ("arn:aws:iam::111122223333:role/a b", "name"),
        ] {
            match RoleArn::parse(text) {
                Err(NoRoleArn::Malformed(why)) => assert!(why.contains(word), "{text}: {why}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
