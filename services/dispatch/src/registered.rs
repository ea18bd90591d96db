//! Which couriers are registered: many callers' questions in one statement. After a restart every courier's stream opens at once.

use std::collections::HashSet;

use comanda_kit::{
    batch::{Batcher, Limits, NotWritten},
    errors::ApiError,
    shutdown::Tasks,
};

use crate::{place::CourierKey, store::Store};

/// As many questions may wait as streams may be open (50,000) and calls besides.
const LIMITS: Limits = Limits { queue: 60_000, batch: 2_000, writers: 1 };

type Answer = Result<bool, ApiError>;

/// Asks the database. Clones share the queue.
#[derive(Clone)]
pub struct Registered {
    questions: Batcher<CourierKey, Answer>,
}

impl Registered {
    /// Starts the task that asks.
    pub fn start(store: Store, tasks: &Tasks) -> Self {
        let questions = Batcher::start(tasks, "registered couriers", LIMITS, move |couriers| {
            let store = store.clone();
            async move { answers(&store, couriers).await }
        });
        Self { questions }
    }

    /// Whether this courier is registered. Where too many ask at once: OVERLOADED.
    pub async fn contains(&self, courier: &CourierKey) -> Answer {
        self.questions.write(courier.clone()).await.map_err(|unasked| match unasked {
            NotWritten::Full => ApiError::overloaded(),
            NotWritten::Stopped => ApiError::shutting_down(),
        })?
    }
}

async fn answers(store: &Store, couriers: Vec<CourierKey>) -> Vec<Answer> {
    match store.registered(&couriers).await {
        Ok(registered) => {
            let registered: HashSet<_> = registered.into_iter().collect();
            couriers.iter().map(|courier| Ok(registered.contains(courier))).collect()
        }
        Err(error) => vec![Err(error.into()); couriers.len()],
    }
}
