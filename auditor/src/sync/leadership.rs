//! Who writes: leader election by a `coordination.k8s.io/v1` Lease, with client-go's rules and times
//! (tools/leaderelection/leaderelection.go).
//!
//! A holder renews its Lease; one that has not been renewed for its duration may be taken. How long that is, each one measures
//! by its own clock from when it saw the Lease change, so that clocks need not agree. Every write names the version that was
//! read, so that of two who take it one succeeds.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use tokio::time::{Instant, sleep, timeout};

use super::objects::{ObjectError, Objects};
use crate::kube::jitter;

#[derive(Clone, Debug)]
pub struct Timing {
    /// Without renewal others may take it after this.
    pub duration: Duration,
    /// A leader that could not renew for this long stops being one. Less than `duration`: before anybody else begins.
    pub renew_deadline: Duration,
    /// Between attempts.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What an attempt gave.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    Leading,
    /// By this one.
    Held(String),
}

pub struct Leadership {
    leases: Objects<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    /// As we last saw it, and since when it is so.
    seen: Option<(Lease, Instant)>,
}

impl Leadership {
    #[must_use]
    pub fn new(leases: Objects<Lease>, name: String, identity: String, timing: Timing) -> Self {
        Self {
            leases,
            name,
            identity,
            timing,
            seen: None,
        }
    }

    /// Returns when we lead, however long that takes: rights may be given meanwhile.
    pub async fn acquire(&mut self) {
        let mut said = None;
        while self.acquire_unless_final(&mut said).await.is_err() {
            sleep(self.timing.retry).await;
        }
    }

    /// # Errors
    /// At once on what time does not mend, and after `limit`: why we do not lead.
    pub async fn acquire_within(&mut self, limit: Duration) -> Result<(), String> {
        let mut said = None;
        match timeout(limit, self.acquire_unless_final(&mut said)).await {
            Ok(result) => result,
            Err(_) => Err(format!(
                "the Lease {} was not ours within {limit:?}: {}",
                self.object(),
                said.as_deref().unwrap_or("no answer")
            )),
        }
    }

    /// `said` is what stood in the way last; each obstacle is logged once.
    async fn acquire_unless_final(&mut self, said: &mut Option<String>) -> Result<(), String> {
        loop {
            let attempt = self.attempt().await;
            let is_trouble = attempt.is_err();
            let (obstacle, is_final) = match attempt {
                Ok(Turn::Leading) => return Ok(()),
                Ok(Turn::Held(holder)) => (Some(format!("{holder} leads; waiting")), false),
                // Somebody was faster, which the next attempt will show.
                Err(ObjectError::Conflict) => (None, false),
                Err(error) => {
                    let text = format!("cannot take the Lease {}: {error}", self.object());
                    (Some(text), error.is_final())
                }
            };
            if let Some(obstacle) = obstacle {
                if said.as_ref() != Some(&obstacle) {
                    match is_trouble {
                        true => tracing::warn!("{obstacle}"),
                        false => tracing::info!("{obstacle}"),
                    }
                    *said = Some(obstacle.clone());
                }
                if is_final {
                    return Err(obstacle);
                }
            }
            sleep(self.timing.retry + jitter(self.timing.retry / 5)).await;
        }
    }

    fn object(&self) -> String {
        format!("{}/{}", self.leases.namespace, self.name)
    }

    /// Renews for as long as it goes. Returns why we lead no longer: whoever writes must have stopped by then.
    pub async fn hold(&mut self) -> String {
        let mut renewed = Instant::now();
        loop {
            sleep(self.timing.retry).await;
            let left = self.timing.renew_deadline.saturating_sub(renewed.elapsed());
            let problem = match timeout(left, self.attempt()).await {
                Ok(Ok(Turn::Leading)) => {
                    renewed = Instant::now();
                    continue;
                }
                Ok(Ok(Turn::Held(holder))) => return format!("{holder} has taken the Lease"),
                // The version was not the last one: the next attempt reads it.
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if renewed.elapsed() + self.timing.retry >= self.timing.renew_deadline {
                return format!(
                    "the Lease {} could not be renewed for {:?}: {problem}",
                    self.name, self.timing.renew_deadline
                );
            }
        }
    }

    /// Lets others take it at once. Does nothing where we do not hold it.
    pub async fn release(&mut self) {
        let Some((lease, _)) = self.seen.take() else {
            return;
        };
        if holder(&lease) != Some(&self.identity) {
            return;
        }
        let mut free = lease;
        if let Some(spec) = &mut free.spec {
            // As client-go's release does.
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        if let Err(error) = self.leases.replace(&self.name, &free).await {
            tracing::debug!(%error, "the Lease stays until it expires");
        }
    }

    async fn attempt(&mut self) -> Result<Turn, ObjectError> {
        // Who holds it need not read it first.
        let ours = self.seen.as_ref().map(|(lease, _)| lease);
        let ours = ours
            .filter(|lease| holder(lease) == Some(&self.identity))
            .cloned();
        let current = match ours {
            Some(lease) => Some(lease),
            None => {
                let read = self.leases.get(&self.name).await?;
                if let Some(lease) = &read {
                    self.see(lease);
                }
                read
            }
        };
        let written = match current {
            None => {
                let lease = self.claim(None);
                self.leases.create(&lease).await
            }
            Some(lease) => {
                let since = match &self.seen {
                    Some((_, since)) => since.elapsed(),
                    None => Duration::ZERO,
                };
                if let Some(other) = held_by_another(&lease, &self.identity, since) {
                    return Ok(Turn::Held(other.to_owned()));
                }
                let claim = self.claim(Some(lease));
                self.leases.replace(&self.name, &claim).await
            }
        };
        match written {
            Ok(lease) => {
                self.seen = Some((lease, Instant::now()));
                Ok(Turn::Leading)
            }
            Err(error) => {
                // What was written last is not known now.
                if matches!(error, ObjectError::Conflict | ObjectError::Gone) {
                    self.forget_ours();
                }
                Err(error)
            }
        }
    }

    fn see(&mut self, lease: &Lease) {
        match &self.seen {
            Some((seen, _)) if seen.spec == lease.spec => {}
            _ => self.seen = Some((lease.clone(), Instant::now())),
        }
    }

    fn forget_ours(&mut self) {
        if let Some((lease, _)) = &self.seen
            && holder(lease) == Some(&self.identity)
        {
            self.seen = None;
        }
    }

    /// The Lease as it is when we hold it.
    fn claim(&self, before: Option<Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = before.unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        let is_ours = holder(&lease) == Some(&self.identity);
        let before = lease.spec.take().unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or_default();
        let is_first = before.holder_identity.is_none();
        lease.spec = Some(LeaseSpec {
            acquire_time: match is_ours {
                true => before.acquire_time,
                false => Some(now.clone()),
            },
            renew_time: Some(now),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs().max(1)).ok(),
            lease_transitions: Some(match is_ours || is_first {
                true => transitions,
                false => transitions.saturating_add(1),
            }),
            ..before
        });
        lease
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    let holder = lease.spec.as_ref()?.holder_identity.as_ref();
    holder.filter(|holder| !holder.is_empty())
}

/// Whoever holds it, unless that is us or it has not been renewed for its duration.
pub(super) fn held_by_another<'a>(
    lease: &'a Lease,
    identity: &str,
    unchanged: Duration,
) -> Option<&'a str> {
    let other = holder(lease).filter(|holder| *holder != identity)?;
    let seconds = lease
        .spec
        .as_ref()?
        .lease_duration_seconds
        .unwrap_or_default();
    let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    (unchanged <= duration).then_some(other)
}
