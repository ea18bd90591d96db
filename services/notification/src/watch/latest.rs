//! The latest value of each key that somebody follows, and of no other.
//!
//! A value is replaced, never queued: there is one for each followed key, however fast they change, so there are never more than followers.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::watch;

/// Values by key.
#[derive(Debug)]
pub struct Latest<K, V> {
    values: Mutex<HashMap<K, watch::Sender<V>>>,
    is_followed: watch::Sender<bool>,
}

impl<K: Eq + Hash, V> Default for Latest<K, V> {
    fn default() -> Self {
        Self { values: Mutex::default(), is_followed: watch::Sender::new(false) }
    }
}

impl<K: Clone + Eq + Hash, V: Default> Latest<K, V> {
    /// Follows the value of a key, which is the default until it is changed.
    pub fn follow(self: &Arc<Self>, key: K) -> Followed<K, V> {
        let value = self.values().entry(key.clone()).or_default().subscribe();
        self.is_followed.send_replace(true);
        Followed { latest: self.clone(), key, value }
    }
}

impl<K: Eq + Hash, V> Latest<K, V> {
    fn values(&self) -> MutexGuard<'_, HashMap<K, watch::Sender<V>>> {
        self.values.lock().expect("no holder of this lock panics")
    }

    /// Whether any key is followed.
    pub fn is_followed(&self) -> watch::Receiver<bool> {
        self.is_followed.subscribe()
    }

    /// Changes the value of a key if it is followed; the followers are told where `change` says so.
    pub fn change<Q: Eq + Hash + ?Sized>(&self, key: &Q, change: impl FnOnce(&mut V) -> bool)
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.values().get(key) {
            value.send_if_modified(change);
        }
    }

    /// Changes every value and tells every follower.
    pub fn change_all(&self, change: impl Fn(&mut V)) {
        self.values().values().for_each(|value| value.send_modify(&change));
    }
}

/// A key that is followed until this is dropped.
#[derive(Debug)]
pub struct Followed<K: Eq + Hash, V> {
    latest: Arc<Latest<K, V>>,
    key: K,
    value: watch::Receiver<V>,
}

impl<K: Eq + Hash, V> Followed<K, V> {
    /// What is followed.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Completes when the value has changed since the last time. Nothing is lost where the returned future is dropped.
    pub async fn changed(&mut self) {
        // The other end is kept for as long as this one.
        let _ = self.value.changed().await;
    }
}

impl<K: Eq + Hash, V: Clone> Followed<K, V> {
    /// The value as it is.
    pub fn value(&self) -> V {
        self.value.borrow().clone()
    }
}

impl<K: Eq + Hash, V> Drop for Followed<K, V> {
    fn drop(&mut self) {
        let mut values = self.latest.values();
        // Our own receiver still counts.
        if values.get(&self.key).is_some_and(|value| value.receiver_count() <= 1) {
            values.remove(&self.key);
        }
        if values.is_empty() {
            self.latest.is_followed.send_replace(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn followers_get_the_latest_value_and_only_of_their_key() {
        let latest = Arc::new(Latest::<String, i32>::default());
        let (mut one, mut other) = (latest.follow("one".into()), latest.follow("other".into()));
        for value in 1..=3 {
            latest.change("one", |held| std::mem::replace(held, value) != value);
        }
        latest.change("nobody's", |_| panic!("nobody follows this"));
        assert_eq!((one.changed().now_or_never(), one.value()), (Some(()), 3));
        assert_eq!(one.changed().now_or_never(), None, "three changes are one");
        latest.change("one", |_| false);
        assert_eq!((one.changed().now_or_never(), other.changed().now_or_never()), (None, None));
        latest.change_all(|value| *value = 7);
        assert_eq!((one.changed().now_or_never(), other.changed().now_or_never()), (Some(()), Some(())));
        assert_eq!((one.value(), other.value()), (7, 7));
    }

    #[test]
    fn what_nobody_follows_any_more_is_forgotten() {
        let latest = Arc::new(Latest::<String, i32>::default());
        let is_followed = latest.is_followed();
        let (first, second) = (latest.follow("one".into()), latest.follow("one".into()));
        latest.change("one", |value| std::mem::replace(value, 5) != 5);
        drop(first);
        assert_eq!((second.value(), *is_followed.borrow()), (5, true));
        drop(second);
        assert!(!*is_followed.borrow() && latest.values().is_empty());
        assert_eq!(latest.follow("one".into()).value(), 0);
    }
}
