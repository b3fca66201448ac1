//! Which certificate authorities are believed: the system's; where there are none, Mozilla's, as they were when this was compiled.
//! In the container image is nothing but the program.

use std::{env, sync::LazyLock};

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What rustls-native-certs reads instead of the distribution's files.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

static CONTEXT: LazyLock<TlsContext> = LazyLock::new(|| {
    let is_set = VARIABLES.iter().any(|name| env::var_os(name).is_some());
    let has_own = is_set || !rustls_native_certs::load_native_certs().certs.is_empty();
    let context = TlsContext::builder().with_trust_store(trust(has_own));
    context.build().unwrap_or_default()
});

pub(super) fn tls_context() -> TlsContext {
    CONTEXT.clone()
}

/// `has_own`: the system has authorities, or somebody has said which they are. Those are not added to: who names his own means
/// no others.
fn trust(has_own: bool) -> TrustStore {
    let mut store = TrustStore::empty().with_native_roots(has_own);
    if !has_own {
        for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
            store.add_pem_certificate(pem(root));
        }
    }
    store
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
    use super::*;
    use aws_smithy_http_client::{
        Connector,
        tls::{Provider, rustls_provider::CryptoMode},
    };

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
        let context = TlsContext::builder().with_trust_store(trust(false));
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.build().unwrap())
            .build();
        drop(connector);
        assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.len() > 50);
    }

    #[test]
    fn who_names_his_authorities_gets_no_others() {
        let debug = |has_own| format!("{:?}", trust(has_own));
        assert!(debug(true).contains("custom_certs: []"));
        assert!(!debug(false).contains("custom_certs: []"));
    }
}
