//! What tells this replica's leader that there is something to do: orders that wait, couriers that may be free.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

use crate::place::CourierKey;

/// So many couriers are told apart; where there are more, all are read again. A replica that does not lead keeps no more.
const MOST: usize = 1000;

/// Which couriers have changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// These.
    Some(HashSet<CourierKey>),
    /// Perhaps all.
    All,
}

impl Default for Changed {
    fn default() -> Self {
        Self::Some(HashSet::new())
    }
}

/// Wakes the leader of this replica, where it leads. Another replica finds by itself what was written.
#[derive(Debug, Default)]
pub struct Wake {
    notify: Notify,
    changed: Mutex<Changed>,
}

impl Wake {
    /// Orders wait.
    pub fn orders(&self) {
        self.notify.notify_one();
    }

    /// Couriers have more room, or less, or are registered in another way.
    pub fn couriers(&self, couriers: impl IntoIterator<Item = CourierKey>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Changed::Some(known) = &mut *changed {
            known.extend(couriers);
            if known.len() > MOST {
                *changed = Changed::All;
            }
        }
        drop(changed);
        self.notify.notify_one();
    }

    /// Waits until something was told since the last time.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }

    /// The couriers that have changed since the last time.
    pub fn take_changed(&self) -> Changed {
        std::mem::take(&mut self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn couriers_that_changed_are_told_once_and_of_too_many_all_are_read() {
        let wake = Wake::default();
        let key = |index: usize| CourierKey::new("acme", &index.to_string());
        wake.couriers([key(1), key(2)]);
        wake.couriers([key(1)]);
        wake.woken().await;
        assert_eq!(wake.take_changed(), Changed::Some(HashSet::from([key(1), key(2)])));
        assert_eq!(wake.take_changed(), Changed::default());
        wake.couriers((0..=MOST).map(key));
        wake.couriers([key(1)]);
        assert_eq!(wake.take_changed(), Changed::All);
    }
}
