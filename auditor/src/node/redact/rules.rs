//! What a secret looks like: telling names, keys by their beginnings, passwords in URLs and options.

use super::*;

/// Parts of names of options, variables, headers and keys whose value is masked.
#[rustfmt::skip]
pub(super) const TELLING: [&str; 19] = [
    "password", "passwd", "passphrase", "secret", "token", "credential", "api-key", "apikey", "access-key",
    "accesskey", "private-key", "privatekey", "account-key", "signing-key", "authorization", "jwt", "bearer",
    "cookie", "signature",
];
/// The same, but as a whole word of the name only.
pub(super) const TELLING_WORDS: [&str; 6] = ["auth", "pass", "pwd", "pw", "sas", "sig"];
/// Ends of names that say where a secret lies or what it is called.
#[rustfmt::skip]
pub(super) const HARMLESS_ENDS: [&str; 9] = [
    "-file", "-path", "-dir", "-stdin", "-name", "-arn", "-ttl-seconds", "-full-uri", "-relative-uri",
];
/// Starts of keys that are known by their form: JWT, EKS token, STS session tokens, GitHub, GitLab, Slack, Vault.
#[rustfmt::skip]
pub(super) const KEY_STARTS: [&str; 12] = [
    "eyJ", "k8s-aws-v1.", "IQoJ", "FwoG", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "hvs.",
];
/// Program (or subcommand) prefix and its short option that takes a password, attached or as the next argument.
#[rustfmt::skip]
pub(super) const PASSWORD_OPTIONS: [(&str, &str); 9] = [
    ("mysql", "-p"), ("mariadb", "-p"), ("sshpass", "-p"), ("mongo", "-p"), ("login", "-p"), ("redis-cli", "-a"),
    ("ldap", "-w"), ("sqlcmd", "-P"), ("smbclient", "-U"),
];
pub(super) const USER_OPTIONS: [&str; 5] = ["-u", "-U", "-p", "--user", "--proxy-user"];
/// Commands whose output is the secret, while their text is what a responder looks for.
pub(super) const FETCHES: [&str; 4] = ["$(cat ", "$(curl ", "$(wget ", "$(aws "];

/// Where the value of the first telling `name=` or `name:` starts, or the body of a private key.
pub(super) fn telling_value(text: &str) -> Option<usize> {
    const PEM: &str = "PRIVATE KEY-----";
    let assigned = text
        .match_indices(['=', ':', '%', ','])
        .filter(|&(at, separator)| {
            let value = &text[at + 1..];
            let before = text[..at].trim_end_matches(|c: char| {
                c.is_whitespace() || is_delimiter(c) || "\\[]{}+?!:=".contains(c)
            });
            let (context, name) = before.split_at(
                before
                    .char_indices()
                    .rfind(|&(_, c)| {
                        c.is_whitespace() || is_delimiter(c) || "=:&?,;{}[]<>|/$@#\\".contains(c)
                    })
                    .map_or(0, |(at, c)| at + c.len_utf8()),
            );
            let word = context.rsplit(char::is_whitespace).next().unwrap_or("");
            // `http://`, `/run/token:/x`, `arn:aws:secretsmanager:…:secret:x`
            let address = separator == ":"
                && (value.starts_with("//") || context.ends_with('/') || word.contains("arn:aws"));
            let separates = match separator {
                // URL-encoded `=`, `:` and blank.
                "%" => value.get(..2).is_some_and(|hex| {
                    ["3D", "3A", "20"]
                        .iter()
                        .any(|code| hex.eq_ignore_ascii_case(code))
                }),
                // `[--password,x]`
                "," => name.starts_with("--") && before.len() == at,
                _ => true,
            };
            separates && is_telling(name) && !address && !is_readable(value)
        })
        .map(|(at, _)| at + 1)
        .next();
    let pem = text.find(PEM).map(|at| at + PEM.len());
    [assigned, pem].into_iter().flatten().min()
}

pub(super) fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
    !HARMLESS_ENDS.iter().any(|end| name.ends_with(end))
        && (TELLING.iter().any(|part| name.contains(part))
            || name.split('-').any(|word| TELLING_WORDS.contains(&word)))
}

/// The value says where the secret comes from.
pub(super) fn is_readable(value: &str) -> bool {
    let opening = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\');
    let value = value.trim_start_matches(opening);
    let value = match value.split_once(' ') {
        Some((scheme, rest)) if is_scheme(scheme) => rest.trim_start_matches(opening),
        _ => value,
    };
    // `$`: what is left of `$(` at its delimiter.
    value == "$"
        || FETCHES.iter().any(|fetch| value.starts_with(fetch))
        || is_secret_path(value.trim_end_matches(['"', '\'', ';', ')']))
}

/// A file below the directory where a container finds its projected volumes.
pub(super) fn is_secret_path(value: &str) -> bool {
    let path = ["file://", "@", "<"]
        .iter()
        .find_map(|prefix| value.strip_prefix(prefix))
        .unwrap_or(value);
    ["/var/run/secrets/", "/run/secrets/"]
        .iter()
        .any(|directory| path.starts_with(directory))
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
        && key_start(path).is_none()
}

/// `Bearer x`, `Basic x`
pub(super) fn is_scheme(word: &str) -> bool {
    let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let word = word.rsplit(['=', ':']).next().unwrap_or(word);
    ["bearer", "basic"]
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// `-x`, `--name`, `--name=value`, or any that is telling; not a password that begins with a dash.
pub(super) fn is_option(word: &str) -> bool {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    let Some(short) = name.strip_prefix('-') else {
        return false;
    };
    let long = short.strip_prefix('-').is_some_and(|long| {
        long.starts_with(|c: char| c.is_ascii_lowercase())
            && long
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    });
    long || word.chars().count() == 2 || is_telling(name)
}

/// The next word is a secret: `--db-password x`, `set aws_secret_access_key x`, `PASSWORD 'x'`, `Bearer x`.
pub(super) fn announces_secret(word: &str) -> bool {
    let word = word.trim_matches([',', ';', '[', ']', '{', '}', '|', '&', '<', '>', '\\']);
    if word.contains(['=', ':', '/', '$']) {
        return is_scheme(word);
    }
    let named =
        word.starts_with('-') || word.contains('_') || word.eq_ignore_ascii_case("password");
    (named && is_telling(word)) || is_scheme(word)
}

/// `-pS3cret`, but neither `-print`, `-p2222` nor `-p/x`.
pub(super) fn is_attached_password(word: &str) -> bool {
    word.strip_prefix("-p").is_some_and(|value| {
        let name = value.split(['=', ':']).next().unwrap_or(value);
        !(value.is_empty()
            || value == "rint0"
            || value.starts_with(['/', '.'])
            || value.bytes().all(|byte| byte.is_ascii_digit())
            || !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
    })
}

pub(super) fn mask_user_password(word: &str) -> Option<String> {
    let (user, password) = word.split_once(':')?;
    (!password.is_empty() && !password.starts_with("//")).then(|| format!("{user}:{MASK}"))
}

/// Masks keys known by their form, to the end of the word, and passwords of URLs.
pub(super) fn mask_token(token: &str) -> String {
    let (head, tail) = token.split_at(key_start(token).unwrap_or(token.len()));
    let mut out = match url_password(head) {
        Some((start, end)) => format!("{}{MASK}{}", &head[..start], &head[end..]),
        None => head.to_owned(),
    };
    if !tail.is_empty() {
        out.push_str(MASK);
    }
    out
}

/// Perhaps cut off, so their length says little.
pub(super) fn key_start(text: &str) -> Option<usize> {
    let known = KEY_STARTS.iter().filter_map(|start| text.find(start));
    let aws = ["AKIA", "ASIA"].iter().flat_map(|start| {
        text.match_indices(start).filter_map(|(at, _)| {
            let is_key_byte = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
            let length = text.as_bytes()[at..]
                .iter()
                .take_while(|byte| is_key_byte(byte))
                .count();
            (length >= 8).then_some(at)
        })
    });
    known.chain(aws).min()
}

/// Range of the password in `scheme://user:password@host` or `user:password@host`, or of a token in place of the user.
pub(super) fn url_password(word: &str) -> Option<(usize, usize)> {
    let last_at = word.rfind('@');
    let mut authorities = word.match_indices("://").map(|(at, _)| at + 3).peekable();
    if authorities.peek().is_none() {
        let at = last_at.filter(|at| !word[at + 1..].starts_with("sha256:"))?;
        let colon = word[..at].find(':')?;
        return Some((colon + 1, at));
    }
    authorities.find_map(|authority| {
        let rest = &word[authority..];
        // `[fd00:ec2::23]:80`
        let host = if rest.starts_with('[') {
            rest.find(']').unwrap_or(0)
        } else {
            0
        };
        let token_end = rest
            .find('@')
            .filter(|&at| at >= 16 && !rest[..at].contains([':', '/']));
        if let Some(end) = token_end {
            return Some((authority, authority + end));
        }
        let colon = authority + host + rest[host..].find(':')?;
        let after = &word[colon + 1..];
        let port = after.bytes().take_while(u8::is_ascii_digit).count();
        let is_port = port <= 5
            && after[port..]
                .chars()
                .next()
                .is_none_or(|c| "/?#,;".contains(c));
        match last_at.filter(|&at| at > colon) {
            _ if is_port => None,
            Some(at) => Some((colon + 1, at)),
            // No port: a password that was cut off before its `@`.
            None => {
                (!word[authority..colon].contains(['/', '?'])).then_some((colon + 1, word.len()))
            }
        }
    })
}
