//! Many callers give commands at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comanda_kit::consumer::Handler;
use comanda_state_machine::{commands::Request, machine::Command};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    assignments::{record, step},
    fixture::{Fixture, Stepper, reason, run, scope},
};

fn request(order_id: Uuid, command: Command) -> Request {
    Request {
        scope: scope(),
        order_id,
        command,
        request_id: Some(Uuid::new_v4()),
        expected_version: None,
        reason: String::new(),
    }
}

/// Each commit that writes transitions takes 20 ms longer for every 80 of them.
const SLOW_COMMITS: &str = "
    CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON state_machine.outbox DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.slow()";

/// One order through all the work of a replica that no caller waits for.
async fn work(fixture: &Fixture, replica: &mut Stepper) -> Result<()> {
    let id = fixture.place_one().await?;
    replica.adopt(&[id]).await.context("adoption")?;
    let due = "UPDATE state_machine.states SET due_at = now() WHERE order_id = $1";
    sqlx::query(due).bind(id).execute(&fixture.sql).await?;
    ensure!(replica.fire().await.context("timers")? == 1, "the timer did not fire");
    replica.steps.apply(1, &[record(&step(id, 1, 2, "dispatched"))]).await.context("steps")?;
    let lease = replica.lead().await?;
    replica.relay.publish_next(lease).await.context("relay")?;
    let version = "SELECT version FROM state_machine.states WHERE order_id = $1";
    let version: i64 = sqlx::query_scalar(version).bind(id).fetch_one(&fixture.sql).await?;
    ensure!(version == 3, "the step was not taken");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_waiting_commands_keep_no_other_work_from_the_database() -> Result<()> {
    let fixture = Fixture::new().await?;
    let mut replica = Stepper::new(&fixture)?;
    let ids = fixture.place(2000).await?;
    work(&fixture, &mut replica).await?;
    run(&fixture.sql, SLOW_COMMITS).await?;
    let commands = replica.commands();
    // None of them is adopted yet.
    let calls = ids.into_iter().map(move |id| {
        let commands = commands.clone();
        async move { commands.carry_out(request(id, Command::Cancel)).await }
    });
    let calls = tokio::spawn(join_all(calls));
    let mut rounds = 0;
    while rounds < 3 || !calls.is_finished() {
        work(&fixture, &mut replica).await?;
        rounds += 1;
    }
    let answers = calls.await?;
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(refused.is_empty(), "{} refused, such as {:?}", refused.len(), refused[0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once_and_what_it_accepted_is_carried_out() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = Stepper::new(&fixture)?;
    let ids = fixture.place(3000).await?;
    replica.adopt(&ids).await?;
    // The first batch waits for this transaction.
    let mut other = fixture.sql.begin().await?;
    sqlx::query("SELECT FROM state_machine.states WHERE order_id = ANY ($1) FOR UPDATE")
        .bind(&ids[..500])
        .execute(&mut *other)
        .await?;
    let commands = replica.commands();
    let mut calls: FuturesUnordered<_> =
        ids.iter().map(|id| commands.carry_out(request(*id, Command::Cancel))).collect();
    let (mut done, mut refused) = (0, 0);
    while done + refused < ids.len() {
        match calls.next().await.expect("as many answers as calls") {
            Ok(_) => done += 1,
            Err(error) => {
                let error = Status::from(error);
                assert_eq!((error.code(), reason(&error).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
                let retry = error.get_details_retry_info().and_then(|retry| retry.retry_delay);
                assert_eq!(retry, Some(Duration::from_millis(500)));
                refused += 1;
            }
        }
        // As many as the queue and a batch cannot hold.
        if refused == 3000 - 2048 - 256 {
            sqlx::query("ROLLBACK").execute(&mut *other).await?;
        }
    }
    assert!((2048 + 1..=2048 + 256).contains(&done), "{done} were accepted");
    assert_eq!(fixture.number("SELECT count(*) FROM state_machine.states WHERE version = 2").await, done as i64);
    Ok(())
}

#[tokio::test]
async fn commands_for_one_order_that_come_together_are_decided_one_after_the_other() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = Stepper::new(&fixture)?;
    let ids = fixture.place(2).await?;
    let commands = replica.commands();
    let advance = |n: usize| request(ids[n % 2], Command::Advance { to: None });
    let answers = join_all((0..24).map(|n| commands.carry_out(advance(n)))).await;
    let (moved, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let mut versions: Vec<_> = moved.into_iter().flatten().map(|moved| moved.transition.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [2, 2, 3, 3, 4, 4]);
    // None of them lost a race, so none was given up.
    let reasons: Vec<_> = refused.into_iter().filter_map(Result::err).map(|error| reason(&error.into())).collect();
    assert_eq!(reasons, ["ORDER_ENDED"; 18]);
    assert!(fixture.histories().await?.values().all(|history| history.len() == 4));
    Ok(())
}

#[tokio::test]
async fn one_command_that_the_database_refuses_fails_no_other() -> Result<()> {
    let fixture = Fixture::new().await?;
    let replica = Stepper::new(&fixture)?;
    let ids = fixture.place(200).await?;
    // Order 0 is refused once it moves; the request id of order 1 is bound after it was looked up, each time; order 2 cannot be adopted.
    run(
        &fixture.sql,
        &format!(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.order_id = '{}' AND TG_TABLE_NAME = 'transitions' AND NEW.version = 2 THEN RAISE check_violation; END IF;
                 IF NEW.order_id = '{}' AND TG_TABLE_NAME = 'requests' THEN RAISE unique_violation; END IF;
                 RETURN NEW; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON state_machine.transitions FOR EACH ROW EXECUTE FUNCTION public.refuse();
             CREATE TRIGGER refuse BEFORE INSERT ON state_machine.requests FOR EACH ROW EXECUTE FUNCTION public.refuse()",
            ids[0], ids[1]
        ),
    )
    .await?;
    let no_workflow = "UPDATE ordering.orders SET workflow_revision = 77 WHERE order_id = $1";
    sqlx::query(no_workflow).bind(ids[2]).execute(&fixture.sql).await?;
    let commands = replica.commands();
    let answers = join_all(ids.iter().map(|id| commands.carry_out(request(*id, Command::Cancel)))).await;
    let reasons: Vec<_> = answers.into_iter().map(|answer| answer.err().map(|error| reason(&error.into()))).collect();
    assert_eq!(reasons[..3], ["INTERNAL", "CONTENTION", "INTERNAL"].map(|reason| Some(reason.to_owned())));
    assert!(reasons[3..].iter().all(Option::is_none), "{reasons:?}");
    let moved = "SELECT count(*) FROM state_machine.states WHERE version = 2";
    assert_eq!(fixture.number(moved).await, 197);
    Ok(())
}
