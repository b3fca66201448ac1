//! Which certificate authorities are believed: the system's; where there are none, Mozilla's, as they were when this was compiled.
//! In the container image is nothing but the program.

use std::{env, ffi::OsString, path::Path, sync::LazyLock};

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_native_certs::CertificateResult;

use super::ConfigError;

const FILE: &str = "SSL_CERT_FILE";
/// Of one directory, or more with colons between.
const DIRECTORIES: &str = "SSL_CERT_DIR";

static ROOTS: LazyLock<Roots> = LazyLock::new(|| {
    let named = named(env::var_os);
    let found = rustls_native_certs::load_native_certs();
    let roots = Roots::new(&named, &found);
    // Said here, too: not everybody who connects has checked.
    if let Some(problem) = &roots.problem {
        tracing::warn!("{problem}; {}", problem.help());
    } else {
        for error in &found.errors {
            tracing::warn!(%error, "cannot read some certificate authorities");
        }
    }
    roots
});

static CONTEXT: LazyLock<TlsContext> = LazyLock::new(|| {
    let context = TlsContext::builder().with_trust_store(ROOTS.believed.store());
    context.build().unwrap_or_default()
});

pub(super) fn tls_context() -> TlsContext {
    CONTEXT.clone()
}

/// # Errors
/// Somebody has said which authorities to believe, and none of them can be read: no connection by TLS would come about.
pub(super) fn check() -> Result<(), ConfigError> {
    ROOTS.problem.clone().map_or(Ok(()), Err)
}

struct Roots {
    believed: Believed,
    problem: Option<ConfigError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Believed {
    /// The system's, or those that somebody has named. They are not added to: who names his own means no others.
    Native,
    Compiled,
    /// What was named cannot be read.
    Nobody,
}

/// What rustls-native-certs reads instead of the distribution's files, as `NAME="value"`. A list of directories that names none is as
/// good as unset, to it as well.
fn named(variable: impl Fn(&'static str) -> Option<OsString>) -> Vec<String> {
    let is_list = |value: &OsString| env::split_paths(value).any(|path| path != Path::new(""));
    let both = [
        (FILE, variable(FILE)),
        (DIRECTORIES, variable(DIRECTORIES).filter(is_list)),
    ];
    both.into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={:?}", value?)))
        .collect()
}

impl Roots {
    fn new(named: &[String], found: &CertificateResult) -> Self {
        let believed = match (found.certs.is_empty(), named.is_empty()) {
            (false, _) => Believed::Native,
            (true, true) => Believed::Compiled,
            (true, false) => Believed::Nobody,
        };
        let problem = (believed == Believed::Nobody).then(|| {
            let errors = found.errors.iter().map(ToString::to_string);
            let errors: Vec<_> = errors.collect();
            ConfigError::NoAuthorities {
                named: named.join(" and "),
                why: match errors.is_empty() {
                    true => "no certificate in PEM is there".to_owned(),
                    false => errors.join("; "),
                },
            }
        });
        Self { believed, problem }
    }
}

impl Believed {
    fn store(self) -> TrustStore {
        let mut store = TrustStore::empty().with_native_roots(self == Self::Native);
        if self == Self::Compiled {
            for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
                store.add_pem_certificate(pem(root));
            }
        }
        store
    }
}

fn pem(der: &[u8]) -> String {
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aws_smithy_http_client::{
        Connector,
        tls::{Provider, rustls_provider::CryptoMode},
    };
    use rustls_native_certs::load_certs_from_paths;

    use super::*;

    /// How the AWS docs name the roots of its endpoints ("Amazon Trust Services").
    #[test]
    fn amazons_own_roots_are_among_those_compiled_in() {
        let name = b"Amazon Root CA 1";
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        assert!(
            roots
                .iter()
                .any(|root| root.windows(name.len()).any(|part| part == name))
        );
    }

    /// It would panic on a certificate that cannot be read.
    #[test]
    fn the_client_takes_all_that_are_compiled_in() {
        let context = TlsContext::builder().with_trust_store(Believed::Compiled.store());
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.build().unwrap())
            .build();
        drop(connector);
        assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len() > 50);
    }

    #[test]
    fn who_names_his_authorities_gets_no_others() {
        let debug = |believed: Believed| format!("{:?}", believed.store());
        assert!(debug(Believed::Native).contains("custom_certs: []"));
        assert!(debug(Believed::Nobody).contains("custom_certs: []"));
        assert!(!debug(Believed::Compiled).contains("custom_certs: []"));
    }

    #[test]
    fn authorities_that_are_named_and_cannot_be_read_are_told_of_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.pem");
        let empty = dir.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        let no_certificates = dir.path().join("certificates");
        fs::create_dir(&no_certificates).unwrap();
        for (variable, path, why) in [
            (FILE, &missing, "No such file"),
            (FILE, &empty, "no certificate in PEM is there"),
            (DIRECTORIES, &missing, "No such file"),
            (
                DIRECTORIES,
                &no_certificates,
                "no certificate in PEM is there",
            ),
        ] {
            let names = named(|name| (name == variable).then(|| path.clone().into_os_string()));
            let (file, directory) = match variable {
                FILE => (Some(path.as_path()), None),
                _ => (None, Some(path.as_path())),
            };
            let roots = Roots::new(&names, &load_certs_from_paths(file, directory));
            assert_eq!(roots.believed, Believed::Nobody);
            let told = roots.problem.unwrap().to_string();
            for part in [variable, path.to_str().unwrap(), why] {
                assert!(told.contains(part), "{told}: not {part}");
            }
        }
    }

    #[test]
    fn what_can_be_read_is_believed_and_what_is_not_named_is_no_problem() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        fs::write(&file, pem(&webpki_root_certs::TLS_SERVER_ROOT_CERTS[0])).unwrap();
        let missing = dir.path().join("missing");
        let names = named(|_| Some("x".into()));
        assert_eq!(names, [r#"SSL_CERT_FILE="x""#, r#"SSL_CERT_DIR="x""#]);
        // One of both is enough; the other is warned of.
        let found = load_certs_from_paths(Some(&file), Some(&missing));
        assert_eq!((found.certs.len(), found.errors.len()), (1, 1));
        let roots = Roots::new(&names, &found);
        assert_eq!((roots.believed, roots.problem), (Believed::Native, None));
        for value in [None, Some(""), Some(":")] {
            let names = named(|name| value.filter(|_| name == DIRECTORIES).map(Into::into));
            assert_eq!(names, Vec::<String>::new());
        }
        let roots = Roots::new(&[], &CertificateResult::default());
        assert_eq!((roots.believed, roots.problem), (Believed::Compiled, None));
    }
}
