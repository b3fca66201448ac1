//! How long things may take.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Timing {
    /// The first request is made within this time, at random: a DaemonSet's pods start together.
    pub start_jitter: Duration,
    /// From a request to the first byte of its answer.
    pub answer_within: Duration,
    /// The longest silence within a listing, or any other answer that is read to its end.
    pub silence: Duration,
    /// What a watch asks the server for; up to a tenth is taken off at random.
    pub watch: Duration,
    /// The longest silence of a watch beyond `watch`: the server ends it by itself before.
    pub watch_slack: Duration,
    /// The longest silence of a watch by a server that has sent bookmarks: some three of them.
    pub bookmark_silence: Duration,
    /// A watch that ends sooner is not begun again at once.
    pub short_watch: Duration,
    pub backoff_least: Duration,
    pub backoff_most: Duration,
    /// Between attempts that need somebody to change something first: a right, a resource.
    pub refused: Duration,
    /// Cuts that are mended within this time are nobody's trouble.
    pub patience: Duration,
    /// Objects a page.
    pub page: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            start_jitter: Duration::from_secs(30),
            answer_within: Duration::from_secs(60),
            silence: Duration::from_secs(30),
            // client-go's and kube-rs' watches live about as long.
            watch: Duration::from_secs(290),
            watch_slack: Duration::from_secs(15),
            // kube-apiserver sends one a minute (staging/src/k8s.io/apiserver/pkg/storage/cacher/cacher.go,
            // `bookmarkFrequency`).
            bookmark_silence: Duration::from_secs(190),
            short_watch: Duration::from_secs(1),
            backoff_least: Duration::from_millis(800),
            backoff_most: Duration::from_secs(30),
            refused: Duration::from_secs(60),
            patience: Duration::from_secs(5),
            page: 100,
        }
    }
}
