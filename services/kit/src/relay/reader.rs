//! Finds the records that go next.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    kept::Kept,
    log::Log,
    outbox::{Outbox, Outgoing},
    pass::Pass,
    pointers::Pointers,
    rows::{Page, Place},
    set_aside::SetAside,
};
use crate::{lease::Lease, postgres::StoreError};

/// How many pages one round looks through for something to publish, while some keys are set aside.
const MOST_PAGES: usize = 100;

/// A record to send, and the place of its pointer.
pub type Next = (Place, Outgoing);

/// Reads one outbox.
pub struct Reader<O> {
    outbox: Arc<O>,
    /// What need not be read back.
    pub kept: Kept,
    log: Arc<Log>,
    pass: Pass,
}

impl<O: Outbox> Reader<O> {
    /// Of an outbox whose records go to a log.
    pub fn new(outbox: Arc<O>, log: Arc<Log>) -> Self {
        Self { outbox, kept: Kept::new(0), log, pass: Pass::default() }
    }

    /// Begins at the head again, and knows nothing: the database may be another one by now.
    pub fn begin_term(&mut self) {
        self.pass = Pass::default();
        self.kept.begin_term();
    }

    /// Keeps nothing any more.
    pub fn end_term(&self) {
        self.kept.end_term();
    }

    /// The next records, at most `most`, one for each key, without those that are set aside.
    pub async fn next(
        &mut self,
        lease: Lease,
        most: usize,
        pointers: &mut Pointers,
        set_aside: &SetAside,
    ) -> Result<Vec<Next>, StoreError> {
        self.pass.end_at_times(set_aside.is_empty());
        for _ in 0..MOST_PAGES {
            if set_aside.is_everything(&self.log) {
                break;
            }
            let page = pointers.page(self.pass.after()).await?;
            if self.pass.is_overtaken(&page) {
                self.pass.end();
                continue;
            }
            let places = page.next(most, |key| self.is_held(key, set_aside));
            if places.is_empty() {
                if page.is_last || !self.step(&page, pointers, set_aside).await? {
                    break;
                }
                continue;
            }
            let (records, dangling) = self.records(places).await?;
            let leads = pointers.drop_dangling(lease, self.log.topic(), &dangling).await?;
            if !records.is_empty() || !leads {
                return Ok(records);
            }
        }
        Ok(Vec::new())
    }

    fn is_held(&self, key: &Uuid, set_aside: &SetAside) -> bool {
        !set_aside.is_empty() && set_aside.holds(key, &self.log) || self.pass.holds(key, &self.log)
    }

    /// Goes past a page of which everything is held, once it is final. False if it is not yet.
    async fn step(&mut self, page: &Page, pointers: &Pointers, set_aside: &SetAside) -> Result<bool, StoreError> {
        if self.pass.is_final(page) {
            self.pass.step(page, set_aside, &self.log);
            return Ok(true);
        }
        Ok(self.pass.learn(pointers.horizon().await?))
    }

    /// The records at these places, and the places whose records do not exist.
    async fn records(&self, places: Vec<Place>) -> Result<(Vec<Next>, Vec<Place>), StoreError> {
        let (mut found, missing) = self.kept.take(places.iter().map(|place| place.pointer));
        if !missing.is_empty() {
            found.extend(self.outbox.records(&missing).await?);
        }
        let mut found: HashMap<_, _> = found.into_iter().map(|outgoing| (outgoing.pointer(), outgoing)).collect();
        let (mut records, mut dangling) = (Vec::with_capacity(found.len()), Vec::new());
        for place in places {
            match found.remove(&place.pointer) {
                Some(outgoing) => records.push((place, outgoing)),
                None => dangling.push(place),
            }
        }
        Ok((records, dangling))
    }
}
