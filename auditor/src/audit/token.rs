//! Which files of a projected volume are tokens, and of which kind.

use crate::{
    cluster::{Pod, ServiceAccount},
    event::TokenKind,
    policy::Policy,
};

/// Audience that the IRSA webhook asks for by default.
pub(crate) const IRSA_AUDIENCE: &str = "sts.amazonaws.com";
const POD_IDENTITY_AUDIENCE: &str = "pods.eks.amazonaws.com";
/// The API server's audience on EKS, which a spec may also spell out.
const API_SERVER_AUDIENCE: &str = "https://kubernetes.default.svc";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsToken {
    Yes,
    No,
    /// The spec is not known, or projects a ConfigMap or Secret whole, whose file names it does not list.
    Unknown,
}

/// What the pod's spec says of a token file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    pub kind: TokenKind,
    /// Null: the API server's own.
    pub audience: Option<String>,
    pub expiration_seconds: Option<u64>,
}

/// Whether `file`, a path below the timestamp directory of the projected volume, holds a token.
///
/// A file that the spec does not name is a token where the volume has one: a hard link, or a copy under another name.
#[must_use]
pub fn is_token_file(pod: Option<&Pod>, volume: Option<&str>, file: &str) -> IsToken {
    let volume = pod.zip(volume).and_then(|(pod, volume)| pod.volume(volume));
    match volume {
        None => IsToken::Unknown,
        Some(volume) if volume.token(file).is_some() => IsToken::Yes,
        Some(volume) if volume.tokens.is_empty() => IsToken::No,
        Some(volume) if volume.other_files.iter().any(|other| **other == *file) => IsToken::No,
        Some(volume) if volume.unnamed_files => IsToken::Unknown,
        Some(_) => IsToken::Yes,
    }
}

/// By the audience in the pod's spec; `irsa` also where the file is the pod's own `AWS_WEB_IDENTITY_TOKEN_FILE`, or where ServiceAccount or
/// policy name the audience.
#[must_use]
pub fn token_kind(
    pod: &Pod,
    volume: &str,
    file: &str,
    service_account: Option<&ServiceAccount>,
    policy: &Policy,
) -> TokenSpec {
    let Some(token) = pod.volume(volume).and_then(|volume| volume.token(file)) else {
        return TokenSpec {
            kind: TokenKind::Unknown,
            audience: None,
            expiration_seconds: None,
        };
    };
    let is_for_irsa = |audience: &str| {
        audience == IRSA_AUDIENCE
            || service_account.and_then(|sa| sa.audience.as_deref()) == Some(audience)
            || policy.irsa_audiences.iter().any(|named| named == audience)
    };
    let kind = match token.audience.as_deref() {
        Some(POD_IDENTITY_AUDIENCE) => TokenKind::PodIdentity,
        Some(audience) if is_for_irsa(audience) => TokenKind::Irsa,
        _ if pod.is_web_identity_file(volume, file) => TokenKind::Irsa,
        None | Some(API_SERVER_AUDIENCE) => TokenKind::ServiceAccount,
        Some(_) => TokenKind::Other,
    };
    TokenSpec {
        kind,
        audience: token.audience.as_deref().map(ToOwned::to_owned),
        expiration_seconds: token.expiration_seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{
        Container, Mount, ProjectedVolume, ServiceAccount, TokenSource, testing::pod,
    };

    fn volume(name: &str, audience: Option<&str>) -> ProjectedVolume {
        ProjectedVolume {
            name: name.into(),
            tokens: vec![TokenSource {
                path: "token".into(),
                audience: audience.map(Into::into),
                expiration_seconds: Some(3607),
            }],
            other_files: vec!["ca.crt".into(), "namespace".into()],
            unnamed_files: false,
        }
    }

    fn web() -> Pod {
        let mut web = pod("shop", "web");
        web.volumes = vec![
            volume("api", None),
            volume("api-by-name", Some("https://kubernetes.default.svc")),
            volume("irsa", Some("sts.amazonaws.com")),
            volume("identity", Some("pods.eks.amazonaws.com")),
            volume("vault", Some("vault")),
            volume("by-env", Some("vault")),
            ProjectedVolume {
                unnamed_files: true,
                ..volume("whole", None)
            },
            ProjectedVolume {
                tokens: vec![],
                ..volume("config", None)
            },
        ];
        let mut container = Container::default();
        container.env.web_identity_token_file = Some("/aws/token".into());
        container.mounts = vec![Mount {
            volume: "by-env".into(),
            mount_path: "/aws".into(),
            sub_path: None,
        }];
        web.containers = vec![container];
        web
    }

    #[test]
    fn tokens_by_any_name_and_nothing_else() {
        let web = web();
        for (pod, volume, file, expected) in [
            (Some(&web), Some("api"), "token", IsToken::Yes),
            (Some(&web), Some("api"), "hard-link", IsToken::Yes),
            (Some(&web), Some("api"), "deeper/hard-link", IsToken::Yes),
            (Some(&web), Some("api"), "ca.crt", IsToken::No),
            (Some(&web), Some("api"), "namespace", IsToken::No),
            (Some(&web), Some("whole"), "token", IsToken::Yes),
            (Some(&web), Some("whole"), "ca.crt", IsToken::No),
            (Some(&web), Some("whole"), "some.key", IsToken::Unknown),
            (Some(&web), Some("config"), "token", IsToken::No),
            (Some(&web), Some("not-in-spec"), "token", IsToken::Unknown),
            (Some(&web), None, "token", IsToken::Unknown),
            (None, Some("api"), "token", IsToken::Unknown),
        ] {
            assert_eq!(
                is_token_file(pod, volume, file),
                expected,
                "{volume:?} {file}"
            );
        }
    }

    #[test]
    fn kind_by_audience_and_environment() {
        let web = web();
        let account = ServiceAccount {
            namespace: "shop".into(),
            name: "default".into(),
            uid: None,
            role_arn: None,
            audience: Some("vault".into()),
        };
        let named = Policy {
            irsa_audiences: vec!["vault".into()],
            ..Policy::default()
        };
        let plain = Policy::default();
        for (volume, file, account, policy, expected) in [
            ("api", "token", None, &plain, TokenKind::ServiceAccount),
            (
                "api-by-name",
                "token",
                None,
                &plain,
                TokenKind::ServiceAccount,
            ),
            ("irsa", "token", None, &plain, TokenKind::Irsa),
            ("identity", "token", None, &plain, TokenKind::PodIdentity),
            ("vault", "token", None, &plain, TokenKind::Other),
            ("vault", "token", Some(&account), &plain, TokenKind::Irsa),
            ("vault", "token", None, &named, TokenKind::Irsa),
            ("by-env", "token", None, &plain, TokenKind::Irsa),
            ("api", "hard-link", None, &plain, TokenKind::Unknown),
            ("not-in-spec", "token", None, &plain, TokenKind::Unknown),
        ] {
            let spec = token_kind(&web, volume, file, account, policy);
            assert_eq!(spec.kind, expected, "{volume} {file}");
        }
        let spec = token_kind(&web, "vault", "token", None, &plain);
        assert_eq!(spec.audience.as_deref(), Some("vault"));
        assert_eq!(spec.expiration_seconds, Some(3607));
    }
}
