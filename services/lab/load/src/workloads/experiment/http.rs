//! Any system that takes orders over HTTP: what it loses.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::ExperimentArgs;
use crate::{
    generator::{self, Outcome, Outcomes, Until},
    report::{Better, Run},
};

const CALL: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Row {
    status: String,
}

/// What a system's list tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rows {
    all: u64,
    ended: u64,
}

/// Sends each count of orders and waits until they have ended, or nothing changes any more.
pub(super) async fn measure(url: &str, args: &ExperimentArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    // reqwest demands a provider of ciphers even for plain HTTP. An error says that there is one already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = Client::builder().timeout(CALL).build()?;
    for &orders in &args.orders {
        let before = rows(&client, url, &args.last_status).await?;
        let started = Instant::now();
        let outcomes = send(&client, url, args, orders, bar).await;
        let (after, elapsed) = ended(&client, url, args, before.ended + outcomes.done(), started).await?;
        note(orders, &outcomes, before, after, elapsed, run);
    }
    Ok(())
}

async fn send(client: &Client, url: &str, args: &ExperimentArgs, orders: u64, bar: &ProgressBar) -> Outcomes {
    let (client, address) = (client.clone(), format!("{url}/new_order"));
    generator::run(args.pace(), Until::Count(orders), bar, move |n| {
        let request = client.post(&address).json(&json!({ "name": format!("order {n}"), "price": 10 }));
        async move {
            match request.send().await.map(|response| response.status()) {
                Ok(StatusCode::OK) => Outcome::Done,
                Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => Outcome::Refused,
                _ => Outcome::Failed,
            }
        }
    })
    .await
}

async fn rows(client: &Client, url: &str, last: &[String]) -> Result<Rows> {
    let response = client.get(format!("{url}/orders")).send().await?.error_for_status()?;
    let rows: Vec<Row> = response.json().await.context("GET /orders answers no rows with a status")?;
    Ok(count(&rows, last))
}

fn count(rows: &[Row], last: &[String]) -> Rows {
    let ended = rows.iter().filter(|row| last.iter().any(|last| last.eq_ignore_ascii_case(&row.status)));
    Rows { all: rows.len() as u64, ended: ended.count() as u64 }
}

/// Waits until so many have ended, or nothing has changed for too long. Returns when the last change was seen.
async fn ended(
    client: &Client,
    url: &str,
    args: &ExperimentArgs,
    wanted: u64,
    started: Instant,
) -> Result<(Rows, Duration)> {
    let (mut before, mut changed) = (Rows::default(), Instant::now());
    loop {
        let now = rows(client, url, &args.last_status).await?;
        if now != before {
            (before, changed) = (now, Instant::now());
        }
        if now.ended >= wanted || changed.elapsed() > args.patience() {
            ensure!(changed >= started, "time runs forwards");
            return Ok((now, changed - started));
        }
        sleep(POLL).await;
    }
}

fn note(orders: u64, outcomes: &Outcomes, before: Rows, after: Rows, elapsed: Duration, run: &mut Run) {
    let (ended, done) = (after.ended.saturating_sub(before.ended), outcomes.done());
    let kept = after.all.saturating_sub(before.all);
    run.figure(&format!("{orders} orders: answered OK"), "", done as f64, Better::Higher);
    run.figure(&format!("{orders} orders: rows"), "", kept as f64, Better::Neither);
    let lost = done.saturating_sub(ended);
    run.figure(&format!("{orders} orders: answered OK and did not end"), "", lost as f64, Better::Lower);
    run.figure(&format!("{orders} orders: until nothing changed"), "s", elapsed.as_secs_f64(), Better::Lower);
    run.timing(outcomes.tally.latency.latency(&format!("{orders} orders: call")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_end_with_any_of_the_last_statuses() {
        let rows = ["finalizado", "Entregado", "recibido"].map(|status| Row { status: status.into() });
        let last = ["finalizado", "entregado"].map(String::from);
        assert_eq!(count(&rows, &last), Rows { all: 3, ended: 2 });
        assert_eq!(count(&rows, &[]).ended, 0);
    }
}
