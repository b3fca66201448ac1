//! Credentials, kept until shortly before they expire.

use std::time::{Duration, SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider},
};
use tokio::sync::Mutex;

use super::error::{Error, chain};

/// New ones are fetched this long before the old ones expire: the chain's providers do so as well.
const MARGIN: Duration = Duration::from_secs(300);
/// Those that say no expiry come from the environment or a file, which somebody may write anew.
const UNDATED: Duration = Duration::from_secs(300);

/// The chain of `aws-config` fetches with each call; its SDKs keep what it gives, and so must we.
#[derive(Debug)]
pub struct CredentialsCache {
    provider: SharedCredentialsProvider,
    kept: Mutex<Option<(Credentials, SystemTime)>>,
}

impl CredentialsCache {
    #[must_use]
    pub fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            kept: Mutex::new(None),
        }
    }

    /// # Errors
    /// When no provider of the chain has any.
    pub async fn get(&self, now: SystemTime) -> Result<Credentials, Error> {
        // Held while fetching: many who need them fetch once.
        let mut kept = self.kept.lock().await;
        if let Some((credentials, until)) = &*kept
            && now < *until
        {
            return Ok(credentials.clone());
        }
        let credentials = self
            .provider
            .provide_credentials()
            .await
            .map_err(|error| Error::Credentials(chain(&error)))?;
        let until = match credentials.expiry() {
            Some(expiry) => expiry.checked_sub(MARGIN).unwrap_or(now),
            None => now + UNDATED,
        };
        *kept = Some((credentials.clone(), until));
        Ok(credentials)
    }

    /// EKS does not take them: the next call fetches others.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}
