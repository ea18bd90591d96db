//! API keys that were shown lately, so that a call asks no database. Each is asked for again every few seconds: a key that was revoked is good
//! no longer than that. While the database is away they are good as they were last seen, for a bounded time.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Result;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics::counter;
use sqlx::PgPool;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::store::{self, KeyRow};
use crate::{backoff::sleep, errors::ApiError, planted, postgres::StoreError};

/// How many keys are kept, known and unknown ones.
const MOST: usize = 10_000;
/// For how long a key is kept that nobody shows.
const IDLE: Duration = Duration::from_secs(600);
/// For how long an id that does not exist is remembered as such.
const UNKNOWN: Duration = Duration::from_secs(5);
/// How many ids that are not kept may be looked up in a second: who invents ids must not keep the database busy.
const LOOKUPS_PER_SECOND: u32 = 200;
/// How many of them at a time, and how long one waits for its turn.
const LOOKUPS: usize = 2;
const TURN: Duration = Duration::from_secs(2);
/// How many keys one statement asks for.
const CHUNK: usize = 1000;

/// How fresh keys are.
#[derive(Clone, Copy, Debug)]
pub struct Freshness {
    /// How often they are asked for again.
    pub interval: Duration,
    /// How long they are good while the database does not answer.
    pub stale: Duration,
}

/// The keys.
#[derive(Debug)]
pub struct KeyCache {
    pool: PgPool,
    freshness: Freshness,
    entries: Mutex<HashMap<String, Entry>>,
    turns: Semaphore,
    rate: DefaultDirectRateLimiter,
}

#[derive(Clone, Debug)]
struct Entry {
    /// `None`: there is no such key.
    row: Option<Arc<KeyRow>>,
    seen: Instant,
    used: Instant,
}

impl KeyCache {
    /// Reads through `pool`, whose connections see the schema `access`.
    pub fn new(pool: PgPool, freshness: Freshness) -> Self {
        let per_second = NonZeroU32::new(LOOKUPS_PER_SECOND).unwrap_or(NonZeroU32::MIN);
        let rate = RateLimiter::direct(Quota::per_second(per_second));
        Self { pool, freshness, entries: Mutex::default(), turns: Semaphore::new(LOOKUPS), rate }
    }

    /// The key with this id; `None` if there is none.
    pub async fn find(&self, key_id: &str) -> Result<Option<Arc<KeyRow>>, ApiError> {
        if let Some(known) = self.known(key_id) {
            return Ok(known);
        }
        let turn = timeout(TURN, self.turns.acquire()).await.map_err(|_| ApiError::overloaded())?;
        let _turn = turn.map_err(|_| ApiError::internal())?;
        // Another call may have looked it up meanwhile.
        if let Some(known) = self.known(key_id) {
            return Ok(known);
        }
        if self.rate.check().is_err() {
            counter!("comanda_refused_calls_total", "reason" => "key lookups").increment(1);
            return Err(ApiError::overloaded());
        }
        let asked = Instant::now();
        let row = store::keys(&self.pool, &[key_id.to_owned()]).await?.pop().map(Arc::new);
        self.keep(key_id, Entry { row: row.clone(), seen: asked, used: asked });
        Ok(row)
    }

    /// What is kept of an id and may still be believed.
    fn known(&self, key_id: &str) -> Option<Option<Arc<KeyRow>>> {
        let mut entries = self.entries();
        let entry = entries.get_mut(key_id)?;
        let good_for = if entry.row.is_some() { self.freshness.stale } else { UNKNOWN };
        (entry.seen.elapsed() <= good_for).then(|| {
            entry.used = Instant::now();
            entry.row.clone()
        })
    }

    fn keep(&self, key_id: &str, entry: Entry) {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            // First what does not exist, then what was shown longest ago.
            let oldest = entries.iter().min_by_key(|(_, entry)| (entry.row.is_some(), entry.used));
            let oldest = oldest.map(|(key_id, _)| key_id.clone());
            oldest.map(|oldest| entries.remove(&oldest));
        }
        entries.insert(key_id.to_owned(), entry);
    }

    /// Keeps the keys fresh until the stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            sleep(self.freshness.interval, &stop).await;
            if let Err(error) = self.refresh().await {
                counter!("comanda_access_refresh_failures_total").increment(1);
                warn!("API keys could not be read again: {error}");
            }
        }
        Ok(())
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        for key_ids in self.in_use().chunks(CHUNK) {
            let asked = Instant::now();
            let rows = store::keys(&self.pool, key_ids).await?;
            let mut rows: HashMap<_, _> = rows.into_iter().map(|row| (row.key_id.clone(), Arc::new(row))).collect();
            let mut entries = self.entries();
            for key_id in key_ids {
                let (row, entry) = (rows.remove(key_id), entries.get_mut(key_id));
                let Some(entry) = entry else { continue };
                entry.seen = asked;
                if !planted!("revoked-key-kept") {
                    entry.row = row;
                }
            }
        }
        Ok(())
    }

    /// Forgets what is not used; the rest is to be asked for again.
    fn in_use(&self) -> Vec<String> {
        let mut entries = self.entries();
        entries.retain(|_, entry| match entry.row {
            Some(_) => entry.used.elapsed() <= IDLE,
            None => entry.seen.elapsed() <= UNKNOWN,
        });
        entries.iter().filter(|(_, entry)| entry.row.is_some()).map(|(key_id, _)| key_id.clone()).collect()
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use comanda_proto::access::Role;
    use time::OffsetDateTime;

    use super::*;
    use crate::postgres;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        postgres: postgres::Config,
    }

    /// Of a database that is not there.
    fn cache() -> KeyCache {
        let mut config = Cli::parse_from(["test"]).postgres;
        config.database_url = "postgres://nobody@127.0.0.1:1/nothing".into();
        let freshness = Freshness { interval: Duration::from_secs(5), stale: Duration::from_secs(300) };
        KeyCache::new(postgres::pool(&config, store::SCHEMA).expect("lazy"), freshness)
    }

    fn entry(exists: bool) -> Entry {
        let row = exists.then(|| {
            Arc::new(KeyRow {
                key_id: "id".into(),
                tenant: "acme".into(),
                name: "pos-1".into(),
                role: Role::Staff.name().into(),
                secret_hash: vec![0; 32],
                old_secret_hash: None,
                old_secret_expire_time: None,
                create_time: OffsetDateTime::UNIX_EPOCH,
                expire_time: None,
                revoke_time: None,
            })
        });
        Entry { row, seen: Instant::now(), used: Instant::now() }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_database_a_key_is_believed_for_a_bounded_time() {
        let cache = cache();
        cache.keep("id", entry(true));
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(cache.known("id").expect("still good").is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(cache.known("id").is_none());
        cache.keep("none", entry(false));
        assert!(cache.known("none").expect("just looked up").is_none());
        tokio::time::advance(UNKNOWN + Duration::from_millis(1)).await;
        assert!(cache.known("none").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_exist_makes_room_first_then_what_is_used_least() {
        let cache = cache();
        for n in 0..MOST - 1 {
            cache.keep(&n.to_string(), entry(true));
        }
        cache.keep("none", entry(false));
        tokio::time::advance(Duration::from_secs(1)).await;
        for n in 1..MOST - 1 {
            cache.known(&n.to_string()).expect("kept");
        }
        cache.keep("new", entry(true));
        assert!(cache.known("none").is_none() && cache.known("0").is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        for id in (0..MOST - 1).filter(|n| *n != 7).map(|n| n.to_string()).chain(["new".to_owned()]) {
            cache.known(&id).expect("kept");
        }
        cache.keep("newer", entry(true));
        assert!(cache.known("7").is_none());
        assert_eq!(cache.entries().len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_shows_is_forgotten() {
        let cache = cache();
        cache.keep("id", entry(true));
        cache.keep("none", entry(false));
        assert_eq!(cache.in_use(), ["id"]);
        tokio::time::advance(IDLE + Duration::from_secs(1)).await;
        assert!(cache.in_use().is_empty() && cache.entries().is_empty());
    }
}
