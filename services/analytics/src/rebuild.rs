//! Counts the whole history again, into a second generation, while the first one goes on.
//!
//! From its beginning on, records of the topics are counted into both generations. So whatever happens to an order after its history was read
//! comes by its records, what happened before is in the history, and the gates of the new generation see to it that nothing counts twice. A
//! rebuild that was broken off goes on after the last order that it folded.

use anyhow::{Result, bail};
use comanda_kit::postgres::StoreError;

use crate::{
    count::count,
    event::Topic,
    store::{Generation, Store},
};

/// How many orders are folded in one transaction.
const ORDERS: i64 = 1000;

/// What a rebuild is told, and tells.
pub trait Progress {
    /// It begins or goes on, with so many orders before it, if that is known.
    fn begin(&mut self, folded: u64, left: Option<u64>);
    /// So many more orders are folded.
    fn folded(&mut self, orders: u64);
}

/// How a rebuild is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Discard a rebuild that was interrupted, and start from the beginning.
    pub restart: bool,
    /// Take the new numbers even where they count fewer orders: those that were purged are then counted no more.
    pub forget_purged: bool,
}

/// Does it; returns the new generation.
pub async fn rebuild(store: &Store, options: Options, progress: &mut impl Progress) -> Result<i32> {
    if options.restart {
        store.give_up_generation().await?;
    }
    while store.remove_old().await? {}
    let mut building = begin(store).await?;
    progress.begin(building.folded_orders.unsigned_abs(), store.orders_after(building.cursor).await);
    while let Some(orders) = fold_next(store, &mut building).await? {
        progress.folded(orders.unsigned_abs());
    }
    switch(store, building.generation, options).await?;
    while store.remove_old().await? {}
    Ok(building.generation)
}

/// The generation that is being built.
async fn begin(store: &Store) -> Result<Generation> {
    if store.building().await?.is_none() {
        store.begin_generation().await?;
    }
    match store.building().await? {
        Some(building) => Ok(building),
        None => bail!("another rebuild has just ended"),
    }
}

/// Folds the next orders; says how many, or `None` at the end.
pub async fn fold_next(store: &Store, building: &mut Generation) -> Result<Option<i64>> {
    let Some(stretch) = store.stretch(building.cursor, ORDERS).await? else { return Ok(None) };
    let mut tries = 0;
    while let Err(error) = fold_stretch(store, building.generation, stretch).await {
        tries += 1;
        if !error.is_transient() || tries == TRIES {
            return Err(error.into());
        }
    }
    building.cursor = stretch.last;
    Ok(Some(stretch.orders))
}

/// How often a transaction is tried that lost a race with the leader.
const TRIES: usize = 5;

async fn fold_stretch(store: &Store, generation: i32, stretch: crate::store::Stretch) -> Result<(), StoreError> {
    let mut events = Vec::new();
    for topic in Topic::ALL {
        events.push((topic, store.history(topic, stretch).await?));
    }
    let Some(mut unit) = store.begin_building(generation).await? else {
        return Err(StoreError::Unreadable(format!("generation {generation} is not being built any more")));
    };
    for (topic, events) in &events {
        count(&mut unit, generation, *topic, (events, &[]), None).await?;
    }
    unit.move_cursor(generation, stretch.last, stretch.orders).await?;
    unit.commit().await
}

async fn switch(store: &Store, generation: i32, options: Options) -> Result<()> {
    let missing = store.switch(generation, options.forget_purged).await?;
    if missing > 0 && !options.forget_purged {
        bail!(
            "the history lacks {missing} orders that were counted: they were purged. The numbers stay as they are; with --forget-purged those \
             orders are counted no more"
        );
    }
    Ok(())
}
