//! `--associations eks`: this node asks EKS by itself. For small clusters: each node makes a request a minute.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{Heard, Ledger, LiveSource, Reading};
use crate::{eks::Reader, kube::jitter};

/// Reads at once, then each `interval`, in a task of its own that ends when nobody listens.
#[must_use]
pub fn poll_eks(mut reader: Reader, interval: Duration) -> LiveSource {
    let (sender, receiver) = watch::channel(Heard::default());
    tokio::spawn(async move {
        let mut ledger = Ledger::default();
        while !sender.is_closed() {
            let begun = Instant::now();
            let reading = reader
                .read(|reading| tell(&sender, &mut ledger, reading, interval))
                .await;
            tell(&sender, &mut ledger, reading, interval);
            // A tenth less at random, so that nodes that started together spread.
            let wait = interval - jitter(interval / 10);
            tokio::select! {
                () = sleep(wait.saturating_sub(begun.elapsed())) => {}
                () = sender.closed() => {}
            }
        }
    });
    LiveSource::new(receiver)
}

fn tell(sender: &watch::Sender<Heard>, ledger: &mut Ledger, reading: Reading, interval: Duration) {
    let is_failed = !reading.complete;
    ledger.take(reading);
    let trouble = ledger.trouble.clone().map(|trouble| match ledger.complete {
        true if is_failed => {
            format!(
                "{trouble}; what was read at {} stays in force",
                ledger.started_at
            )
        }
        _ => trouble,
    });
    let snapshot = ledger.snapshot("eks".into(), Some(interval));
    sender.send_replace(Heard {
        // Nothing at all is no snapshot.
        snapshot: (ledger.complete || !ledger.is_empty()).then(|| Arc::new(snapshot)),
        trouble,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eks::testing::{FakeEks, Fault, fast};

    async fn until(source: &mut LiveSource, is_so: impl Fn(&LiveSource, Option<&str>) -> bool) {
        for _ in 0..500 {
            let trouble = source.refresh();
            if is_so(source, trouble.as_deref()) {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{source:?}");
    }

    #[tokio::test]
    async fn a_failing_eks_ages_what_is_known_and_says_so() {
        let eks = FakeEks::default();
        eks.state().add("a-1", "web");
        let interval = Duration::from_millis(20);
        let reader = Reader::new(eks.client(fast()).await, interval);
        let mut source = poll_eks(reader, interval);
        until(&mut source, |source, trouble| {
            source.snapshot().is_some() && trouble.is_none()
        })
        .await;
        let snapshot = source.snapshot().unwrap();
        assert_eq!((&*snapshot.source, snapshot.generation), ("eks", 1));
        assert_eq!(snapshot.interval, Some(interval));
        assert!(snapshot.complete && snapshot.get("shop", "web").is_some());

        let denied = Fault::Status(403, "AccessDeniedException", "no");
        eks.state().list_faults.extend(vec![denied; 10_000]);
        until(&mut source, |_, trouble| trouble.is_some()).await;
        let trouble = source.refresh().unwrap();
        assert!(trouble.contains("stays in force"), "{trouble}");
        let stale = source.snapshot().unwrap().started_at;
        let asked = eks.state().lists();
        sleep(Duration::from_millis(100)).await;
        assert!(eks.state().lists() > asked);
        assert_eq!(source.refresh().as_ref(), Some(&trouble), "said once");
        let snapshot = source.snapshot().unwrap();
        assert_eq!(snapshot.started_at, stale);
        assert!(snapshot.get("shop", "web").is_some());

        eks.state().list_faults.clear();
        until(&mut source, |source, trouble| {
            trouble.is_none() && source.snapshot().unwrap().started_at > stale
        })
        .await;
    }

    #[tokio::test]
    async fn an_eks_that_never_answered_is_no_snapshot() {
        let eks = FakeEks::default();
        let denied = Fault::Status(403, "AccessDeniedException", "no");
        eks.state().list_faults.extend(vec![denied; 10_000]);
        let interval = Duration::from_millis(20);
        let mut source = poll_eks(Reader::new(eks.client(fast()).await, interval), interval);
        until(&mut source, |_, trouble| trouble.is_some()).await;
        assert!(source.snapshot().is_none());
    }
}
