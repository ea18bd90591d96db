//! Shares of something that all tenants use: how much of it one tenant may hold at a time, so that the others get theirs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What each tenant holds. Clones share it. Only tenants that hold something take room.
#[derive(Clone, Debug)]
pub struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// A share that is held. It is given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    tenant: Arc<str>,
    amount: usize,
}

impl Shares {
    /// At most this much for each tenant.
    pub fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// Takes a share; `None` if the tenant then held too much.
    pub fn take(&self, tenant: &str, amount: usize) -> Option<Share> {
        let mut held = self.held();
        let tenant = held.get_key_value(tenant).map_or_else(|| tenant.into(), |(tenant, _)| tenant.clone());
        let now = held.get(&tenant).copied().unwrap_or(0) + amount;
        (now <= self.most).then(|| {
            held.insert(tenant.clone(), now);
            Share { shares: self.clone(), tenant, amount }
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held();
        let rest = held.get(&self.tenant).copied().unwrap_or(0).saturating_sub(self.amount);
        if rest == 0 {
            held.remove(&self.tenant);
        } else {
            held.insert(self.tenant.clone(), rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_holds_no_more_than_its_share_and_takes_nothing_from_others() {
        let shares = Shares::new(3);
        let first = shares.take("acme", 2).expect("a share");
        assert!(shares.take("acme", 2).is_none());
        let (_second, _other) = (shares.take("acme", 1).expect("a share"), shares.take("bravo", 3).expect("a share"));
        assert!(shares.take("acme", 1).is_none());
        drop(first);
        assert!(shares.take("acme", 2).is_some());
    }

    #[test]
    fn a_tenant_that_holds_nothing_takes_no_room() {
        let shares = Shares::new(1);
        drop((0..100).map(|n| shares.take(&n.to_string(), 1).expect("a share")).collect::<Vec<_>>());
        assert!(shares.held().is_empty());
    }
}
