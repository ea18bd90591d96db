//! A customer cancels while dispatch confirms: 20,000 races for the same version of an order.

use std::collections::BTreeMap;

use anyhow::Result;
use comanda_kit::{consumer::Handler, postgres, shutdown::Tasks, workflows::Workflows};
use comanda_proto::errors::reason;
use comanda_state_machine::{
    adoption::Adoption,
    commands::{Commands, Request},
    machine::Command,
    steps::Steps,
    store::{SCHEMA, Store},
};
use futures::future::{join, join_all};
use tonic::Status;
use uuid::Uuid;

use crate::{
    assignments::{handler, record, step},
    fixture::{Fixture, Stepper, TENANT, scope},
};

/// Orders that are placed together.
const PLACED: usize = 500;
/// Orders that race at a time: so many callers cancel while one replica takes the steps in one statement.
const BATCH: usize = 10;

/// How a cancel was answered: the version that it made, or the reason of its refusal.
type Answer = Result<i64, String>;

/// Orders in a status in which they can be cancelled, and in which dispatch takes a step.
struct Racers {
    workflow: &'static str,
    from: &'static str,
    to: &'static str,
}

const RIDES: Racers = Racers { workflow: "ride", from: "requested", to: "confirmed" };
const DELIVERIES: Racers = Racers { workflow: "courier-delivery", from: "preparing", to: "dispatched" };

impl Racers {
    async fn place(&self, fixture: &Fixture, adopter: &Stepper) -> Result<Vec<Uuid>> {
        let ids = fixture.place_of(TENANT, self.workflow, PLACED).await?;
        let statement = "UPDATE ordering.orders SET first_status = $2 WHERE order_id = ANY ($1)";
        sqlx::query(statement).bind(&ids).bind(self.from).execute(&fixture.sql).await?;
        adopter.adopt(&ids).await?;
        Ok(ids)
    }
}

fn commands(fixture: &Fixture) -> Result<Commands> {
    let pool = postgres::pool(&fixture.environment.postgres, SCHEMA)?;
    let (store, workflows) = (Store::new(pool.clone(), None), Workflows::new(pool));
    let adoption = Adoption::new(store.clone(), workflows.clone(), Default::default());
    Ok(Commands::start(store, workflows, adoption, Default::default(), &Tasks::new()))
}

async fn cancel(commands: &Commands, order_id: Uuid, expected_version: Option<i64>) -> (Uuid, Answer) {
    let request = Request {
        scope: scope(),
        order_id,
        command: Command::Cancel,
        request_id: Some(Uuid::new_v4()),
        expected_version,
        reason: String::new(),
    };
    let answer = match commands.carry_out(request).await {
        Ok(outcome) => Ok(outcome.transition.version),
        Err(refused) => Err(crate::fixture::reason(&Status::from(refused))),
    };
    (order_id, answer)
}

/// The two callers of a race, each on its own connections.
struct Race {
    commands: Commands,
    steps: Steps,
    expected_version: Option<i64>,
}

impl Race {
    /// Cancels each order while a step is taken for it; which of the two begins alternates.
    async fn run(&self, ids: &[Uuid], to: &str) -> Result<BTreeMap<Uuid, Answer>> {
        let mut answers = BTreeMap::new();
        for (index, batch) in ids.chunks(BATCH).enumerate() {
            let records: Vec<_> = batch.iter().map(|id| record(&step(*id, 1, 1, to))).collect();
            let cancels = join_all(batch.iter().map(|id| cancel(&self.commands, *id, self.expected_version)));
            let steps = self.steps.apply(1, &records);
            let (answered, taken) = if index % 2 == 0 {
                join(cancels, steps).await
            } else {
                let (taken, answered) = join(steps, cancels).await;
                (answered, taken)
            };
            taken?;
            answers.extend(answered);
        }
        Ok(answers)
    }
}

/// The statuses of each order by version, with the answer to its cancel, and how often that came about.
type Ends = BTreeMap<(Vec<String>, Answer), usize>;

/// Lets so many orders race.
async fn races(count: usize, racers: Racers, expected_version: Option<i64>) -> Result<Ends> {
    let fixture = Fixture::new().await?;
    let race = Race { commands: commands(&fixture)?, steps: handler(&fixture)?, expected_version };
    let (adopter, mut ends) = (Stepper::new(&fixture)?, Ends::new());
    for _ in 0..count / PLACED {
        let ids = racers.place(&fixture, &adopter).await?;
        let mut answers = race.run(&ids, racers.to).await?;
        let query = "SELECT order_id, array_agg(to_status ORDER BY version) FROM state_machine.transitions
                     WHERE order_id = ANY ($1) GROUP BY order_id";
        let rows: Vec<(Uuid, Vec<String>)> = sqlx::query_as(query).bind(&ids).fetch_all(&fixture.sql).await?;
        for (id, statuses) in rows {
            let answer = answers.remove(&id).expect("each order was cancelled once");
            *ends.entry((statuses, answer)).or_default() += 1;
        }
    }
    // What the orders are now is what their histories say.
    let apart = "SELECT count(*) FROM state_machine.states s
                 WHERE s.version <> (SELECT max(version) FROM state_machine.transitions t WHERE t.order_id = s.order_id)";
    assert_eq!(fixture.number(apart).await, 0);
    Ok(ends)
}

/// Checks that nothing but these two ends came about, in so many races, and each of them often enough to call it a race.
fn only(ends: &Ends, count: usize, expected: [(&[&str], Result<i64, &str>); 2]) {
    let found = expected.map(|(statuses, answer)| {
        let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
        ends.get(&(statuses, answer.map_err(str::to_owned))).copied().unwrap_or(0)
    });
    assert_eq!(found.iter().sum::<usize>(), count, "{ends:?}");
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert!(found.iter().all(|found| *found > count / 100), "no race: {ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_for_the_version_that_a_step_was_decided_on_wins_or_is_refused_and_never_both() -> Result<()> {
    let ends = races(5_000, RIDES, Some(1)).await?;
    let won = (&["requested", "cancelled"][..], Ok(2));
    let lost = (&["requested", "confirmed"][..], Err(reason::VERSION_MISMATCH));
    only(&ends, 5_000, [won, lost]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_where_a_cancel_after_the_step_has_no_edge() -> Result<()> {
    let ends = races(5_000, DELIVERIES, Some(1)).await?;
    let won = (&["preparing", "cancelled"][..], Ok(2));
    let lost = (&["preparing", "dispatched"][..], Err(reason::VERSION_MISMATCH));
    only(&ends, 5_000, [won, lost]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_after_the_step_is_refused_where_the_workflow_has_no_edge_for_it() -> Result<()> {
    let ends = races(5_000, DELIVERIES, None).await?;
    let won = (&["preparing", "cancelled"][..], Ok(2));
    let lost = (&["preparing", "dispatched"][..], Err(reason::TRANSITION_NOT_ALLOWED));
    only(&ends, 5_000, [won, lost]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_after_the_step_cancels_where_there_is_an_edge_and_a_step_after_it_does_nothing() -> Result<()> {
    let ends = races(5_000, RIDES, None).await?;
    let before = (&["requested", "cancelled"][..], Ok(2));
    let after = (&["requested", "confirmed", "cancelled"][..], Ok(3));
    only(&ends, 5_000, [before, after]);
    Ok(())
}
