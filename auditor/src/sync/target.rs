//! Where associations are written.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use tokio::time::sleep;

use super::objects::{ObjectError, Objects};
use crate::{
    association::{
        Heading, Ledger,
        config_map::{DecodeError, EncodeError, Sheet, decode, encode},
        encode as encode_document, parse,
    },
    kube::jitter,
};

/// Of one write.
const ATTEMPTS: u32 = 4;
const BACKOFF: Duration = Duration::from_millis(500);

pub enum Target {
    ConfigMap(Box<ConfigMapTarget>),
    File(PathBuf),
}

/// What there was before.
#[derive(Debug)]
pub enum Before {
    Nothing,
    Sheet(Box<Sheet>),
    /// Something that is none of ours, or damaged: why.
    Unreadable(String),
}

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("ConfigMap {object}: {error}")]
    Object { object: String, error: ObjectError },
    #[error("ConfigMap {object}: {error}")]
    Newer { object: String, error: DecodeError },
    #[error("ConfigMap {object}: {error}")]
    Encode { object: String, error: EncodeError },
    #[error("{}: {error}", path.display())]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
}

impl TargetError {
    /// Time does not mend it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Newer { .. })
    }
}

impl Target {
    /// Whether those who read it are told what went wrong, even where nothing else could be told.
    #[must_use]
    pub fn tells_trouble(&self) -> bool {
        matches!(self, Self::ConfigMap(_))
    }

    /// # Errors
    /// When it cannot be read; and when a later version wrote it, which we must not undo.
    pub async fn load(&mut self) -> Result<Before, TargetError> {
        match self {
            Self::ConfigMap(target) => target.load().await,
            Self::File(path) => load_file(path).await,
        }
    }

    /// # Errors
    /// When it could not be written; then it is as it was.
    pub async fn store(&mut self, sheet: &Sheet) -> Result<(), TargetError> {
        match self {
            Self::ConfigMap(target) => target.store(sheet).await,
            Self::File(path) => store_file(path, sheet),
        }
    }
}

pub struct ConfigMapTarget {
    objects: Objects<ConfigMap>,
    name: String,
    /// As it was when it was last read or written; null where there is none.
    metadata: Option<ObjectMeta>,
}

impl ConfigMapTarget {
    #[must_use]
    pub fn new(objects: Objects<ConfigMap>, name: String) -> Self {
        Self {
            objects,
            name,
            metadata: None,
        }
    }

    fn object(&self) -> String {
        format!("{}/{}", self.objects.namespace, self.name)
    }

    async fn load(&mut self) -> Result<Before, TargetError> {
        let Some(object) = self.fetch().await? else {
            return Ok(Before::Nothing);
        };
        match decode(&object) {
            Ok(sheet) => Ok(Before::Sheet(Box::new(sheet))),
            Err(error @ DecodeError::Format(_)) => Err(TargetError::Newer {
                object: self.object(),
                error,
            }),
            // Made empty by whoever wants to say more about it than we do, such as labels.
            Err(_) if object.data.is_none() && object.binary_data.is_none() => Ok(Before::Nothing),
            Err(error) => Ok(Before::Unreadable(format!(
                "ConfigMap {}: {error}",
                self.object()
            ))),
        }
    }

    async fn fetch(&mut self) -> Result<Option<ConfigMap>, TargetError> {
        let read = self.objects.get(&self.name).await;
        let read = read.map_err(|error| TargetError::Object {
            object: self.object(),
            error,
        })?;
        self.metadata = read.as_ref().map(|object| object.metadata.clone());
        Ok(read)
    }

    async fn store(&mut self, sheet: &Sheet) -> Result<(), TargetError> {
        let object = self.object();
        let (data, binary_data) = encode(sheet).map_err(|error| TargetError::Encode {
            object: object.clone(),
            error,
        })?;
        let mut attempt = 1;
        loop {
            let written = match &self.metadata {
                None => {
                    let config_map = ConfigMap {
                        metadata: self.fresh_metadata(),
                        data: Some(data.clone()),
                        binary_data: Some(binary_data.clone()),
                        immutable: None,
                    };
                    self.objects.create(&config_map).await
                }
                Some(metadata) => {
                    let config_map = ConfigMap {
                        // Labels, annotations and owners are others' affair; which fields are whose, the server keeps.
                        metadata: ObjectMeta {
                            managed_fields: None,
                            ..metadata.clone()
                        },
                        data: Some(data.clone()),
                        binary_data: Some(binary_data.clone()),
                        immutable: None,
                    };
                    self.objects.replace(&self.name, &config_map).await
                }
            };
            let error = match written {
                Ok(written) => {
                    self.metadata = Some(written.metadata);
                    return Ok(());
                }
                Err(error) => error,
            };
            let again = attempt < ATTEMPTS;
            attempt += 1;
            match &error {
                // We lead, and it was somebody's hand: ours is what EKS says.
                ObjectError::Conflict | ObjectError::Gone if again => {
                    self.fetch().await?;
                }
                ObjectError::Unreachable(_) if again => {
                    sleep(BACKOFF * attempt + jitter(BACKOFF * attempt)).await;
                }
                _ => return Err(TargetError::Object { object, error }),
            }
        }
    }

    fn fresh_metadata(&self) -> ObjectMeta {
        let labels = [("app.kubernetes.io/managed-by", "eks-credential-auditor")];
        ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.objects.namespace.clone()),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        }
    }
}

async fn load_file(path: &Path) -> Result<Before, TargetError> {
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Before::Nothing),
        Err(error) => {
            let path = path.to_owned();
            return Err(TargetError::File { path, error });
        }
    };
    Ok(match parse(&bytes, None) {
        Ok(listing) => {
            let started_at = listing.started_at.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
            let complete = listing.complete && listing.started_at.is_some();
            let ledger = Ledger::restore(listing.associations, 1, started_at, complete, None);
            Before::Sheet(Box::new(Sheet {
                ledger,
                interval: listing.interval,
                cluster: None,
                source: "".into(),
            }))
        }
        Err(error) => Before::Unreadable(format!("{}: {error}", path.display())),
    })
}

/// Beside it, then in its place: a reader sees the old one or the new one, whole.
fn store_file(path: &Path, sheet: &Sheet) -> Result<(), TargetError> {
    let failed = |error| TargetError::File {
        path: path.to_owned(),
        error,
    };
    let heading = Heading {
        complete: Some(sheet.ledger.complete),
        started_at: Some(sheet.ledger.started_at),
        interval: sheet.interval,
    };
    let document = encode_document(heading, sheet.ledger.associations());
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = std::fs::File::create(&beside)
        .and_then(|mut file| {
            file.write_all(&document)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        // It may not even be there.
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}
