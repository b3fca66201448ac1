//! Masks what looks like a secret in argv.

/// `--args`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgsMode {
    None,
    Redacted,
    Full,
}

impl ArgsMode {
    /// What goes out; the judgement needs them as they are, to tell a probe's command.
    pub fn apply(self, args: Vec<String>) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Redacted => redact(args),
            Self::Full => args,
        }
    }
}

const MASK: &str = "***";
/// Parts of option and variable names whose value is masked.
const NAMES: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "api-key",
    "apikey",
    "access-key",
    "authorization",
];

/// Masks values of options and assignments with telling names, AWS keys, JWTs, bearer headers and URL passwords.
fn redact(args: Vec<String>) -> Vec<String> {
    let mut mask_next = false;
    args.into_iter()
        .enumerate()
        .map(|(index, arg)| {
            if std::mem::take(&mut mask_next) && !arg.starts_with('-') {
                return MASK.to_owned();
            }
            if index == 0 {
                return arg;
            }
            if let Some((name, _)) = arg.split_once('=')
                && telling(name)
            {
                return format!("{name}={MASK}");
            }
            if arg.starts_with('-') && telling(&arg) && !arg.contains('/') {
                mask_next = true;
                return arg;
            }
            if let Some((header, value)) = arg.split_once(':')
                && telling(header)
                && !value.starts_with("//")
                && !header.contains('/')
            {
                return format!("{header}: {MASK}");
            }
            mask_words(&arg)
        })
        .collect()
}

fn telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    // A path names where a secret lies, not the secret.
    !name.ends_with("-file")
        && !name.ends_with("-path")
        && NAMES.iter().any(|part| name.contains(part))
}

fn mask_words(arg: &str) -> String {
    let masked: Vec<String> = arg.split(' ').map(mask_word).collect();
    masked.join(" ")
}

fn mask_word(word: &str) -> String {
    let key = word.trim_matches(['"', '\'']);
    let aws = key.len() >= 16
        && ["AKIA", "ASIA"]
            .iter()
            .any(|prefix| key.starts_with(prefix))
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // Perhaps cut off.
    let jwt = key.len() > 16 && key.starts_with("eyJ");
    if aws || jwt {
        return MASK.to_owned();
    }
    // scheme://user:password@host
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((user_info, host)) = rest.split_once('@')
        && let Some((user, _)) = user_info.split_once(':')
        && !user_info.contains('/')
    {
        return format!("{scheme}://{user}:{MASK}@{host}");
    }
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(args: &[&str]) -> Vec<String> {
        redact(args.iter().map(|arg| (*arg).to_owned()).collect())
    }

    #[test]
    fn secrets_are_masked() {
        let cases: &[(&[&str], &[&str])] = &[
            (&["app", "--password=x"], &["app", "--password=***"]),
            (
                &["app", "--db-password", "x", "y"],
                &["app", "--db-password", "***", "y"],
            ),
            (
                &["env", "AWS_SECRET_ACCESS_KEY=x"],
                &["env", "AWS_SECRET_ACCESS_KEY=***"],
            ),
            (
                &["curl", "-H", "Authorization: Bearer x"],
                &["curl", "-H", "Authorization: ***"],
            ),
            (&["x", "eyJhbGciOi.eyJzdWIi.c2ln"], &["x", "***"]),
            (
                &["sh", "-c", "use AKIAIOSFODNN7EXAMPLE now"],
                &["sh", "-c", "use *** now"],
            ),
            (
                &["psql", "postgres://me:pw@db/x"],
                &["psql", "postgres://me:***@db/x"],
            ),
        ];
        for (args, expected) in cases {
            assert_eq!(of(args), *expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for args in [
            &[
                "cat",
                "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
            ][..],
            &["app", "--token-file=/x/token", "--verbose"],
            &["curl", "http://169.254.170.23:80/v1/credentials"],
        ] {
            assert_eq!(of(args), args);
        }
    }
}
