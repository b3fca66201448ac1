//! A listing page by page, for servers that cannot stream one.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{Change, ListWatch, Stop};
use crate::kube::page::Page;

impl<K: DeserializeOwned> ListWatch<K> {
    /// A page that expires under way (410) ends the attempt; the next one begins anew.
    pub(super) async fn paged_list(&mut self, fresh: bool) -> Result<(), Stop> {
        let (limit, silence) = {
            let timing = self.api.timing();
            (timing.page, timing.silence)
        };
        let begun_at = Timestamp::now();
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        let resource_version = loop {
            let path = self.resource.list(limit, next.as_deref(), fresh);
            let answer = self.api.ask("list", &self.resource, path).await?;
            let page = Page::read(&answer.whole(silence).await?, &mut items)?;
            if page.next.is_none() {
                break page.resource_version;
            }
            next = page.next;
        };
        self.tell(Change::Listed { items, begun_at }).await?;
        self.move_to(resource_version);
        self.listed_at = Some(Instant::now());
        self.went_well().await
    }
}
