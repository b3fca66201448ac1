//! Projected volumes, as the pod's spec lists them.

use std::sync::Arc;

/// Audience of the tokens that the Pod Identity agent takes.
pub const POD_IDENTITY_AUDIENCE: &str = "pods.eks.amazonaws.com";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectedVolume {
    pub name: Arc<str>,
    pub tokens: Vec<TokenSource>,
    /// Paths that the spec names for anything but a token: ConfigMap, Secret and downward API items, trust bundles, certificates.
    pub other_files: Vec<Arc<str>>,
    /// A ConfigMap or Secret is projected whole: its keys, and so its file names, are not in the spec.
    pub unnamed_files: bool,
}

/// `serviceAccountToken` of a projected volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    pub path: Arc<str>,
    /// Null: the API server's own.
    pub audience: Option<Arc<str>>,
    pub expiration_seconds: Option<u64>,
}

impl ProjectedVolume {
    #[must_use]
    pub fn token(&self, file: &str) -> Option<&TokenSource> {
        self.tokens.iter().find(|t| *t.path == *file)
    }
}
