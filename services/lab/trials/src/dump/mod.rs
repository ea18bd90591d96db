//! What is left at the end of a run: everything that the database and the topics hold, how far the groups have read, and what each
//! process says of itself. One line of the history each.

mod assignments;
mod lags;
mod metrics;
mod processes;
mod records;
mod reports;
mod rows;
mod tables;

use std::time::Duration;

use anyhow::{Context, Result};
use comanda_checker::history::Topic;
use comanda_proto::topics;
use sqlx::{PgPool, postgres::PgPoolOptions};

pub use self::{
    lags::{Lag, READERS},
    records::PLANTED_HEADER,
};
use crate::{
    cluster::{Endpoints, Role},
    recorder::Recorder,
};

/// How long the database may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes down everything that is left. Call it when all is at rest: the parts are read one after the other.
pub async fn everything(endpoints: &Endpoints, recorder: &Recorder) -> Result<()> {
    let pool = connect(endpoints).await?;
    tables::dump(&pool, recorder).await.context("the database could not be read to the end")?;
    let logs = Logs::read(&pool).await?;
    pool.close().await;
    records::dump(endpoints, logs, recorder).await?;
    lags::dump(endpoints, logs, recorder).await?;
    reports::dump(endpoints, recorder).await.context("analytics does not answer")?;
    processes::dump(endpoints, recorder).await;
    Ok(())
}

/// Writes down what the topics hold now: before they are deleted.
pub async fn topics(endpoints: &Endpoints, recorder: &Recorder) -> Result<()> {
    let pool = connect(endpoints).await?;
    let logs = Logs::read(&pool).await?;
    pool.close().await;
    records::dump(endpoints, logs, recorder).await
}

/// How far the consumer groups are behind.
pub async fn lags(endpoints: &Endpoints) -> Result<Vec<Lag>> {
    let pool = connect(endpoints).await?;
    let logs = Logs::read(&pool).await?;
    let mut lags = lags::read(endpoints, logs).await?;
    if endpoints.has(Role::Analytics) {
        lags.extend(lags::uncounted(endpoints, &pool).await?);
    }
    pool.close().await;
    Ok(lags)
}

async fn connect(endpoints: &Endpoints) -> Result<PgPool> {
    let options = PgPoolOptions::new().max_connections(2).acquire_timeout(CONNECT_TIMEOUT);
    options.connect(&endpoints.database_url).await.context("the database does not answer; is it still running?")
}

const TOPICS: [Topic; 3] = [Topic::Orders, Topic::Transitions, Topic::Assignments];

/// How many logs each topic has had, as its writer has noticed: its epoch.
#[derive(Clone, Copy, Debug)]
struct Logs {
    orders: i64,
    transitions: i64,
    assignments: i64,
}

impl Logs {
    async fn read(pool: &PgPool) -> Result<Self> {
        let statement =
            "SELECT (SELECT topic_epoch FROM ordering.topic_log), (SELECT topic_epoch FROM state_machine.topic_log),
                                (SELECT topic_epoch FROM dispatch.topic_log)";
        let (orders, transitions, assignments) = sqlx::query_as(statement).fetch_one(pool).await?;
        Ok(Self { orders, transitions, assignments })
    }

    fn of(self, topic: Topic) -> i64 {
        match topic {
            Topic::Orders => self.orders,
            Topic::Transitions => self.transitions,
            Topic::Assignments => self.assignments,
        }
    }
}

/// A topic's full name.
fn full_name(endpoints: &Endpoints, topic: Topic) -> String {
    let name = match topic {
        Topic::Orders => topics::ORDERS,
        Topic::Transitions => topics::ORDER_TRANSITIONS,
        Topic::Assignments => topics::ASSIGNMENTS,
    };
    format!("{}{name}", endpoints.topic_prefix)
}
