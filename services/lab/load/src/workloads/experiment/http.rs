//! Any system that takes orders over HTTP as the first description says: POST /new_order, and GET /orders for all of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use reqwest::Client;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::{ExperimentArgs, products::Products};
use crate::{
    generator::{self, Outcomes, Until},
    http,
    report::{Better, Run},
};

const POLL: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Row {
    status: String,
}

/// What a system's list tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    all: u64,
    pub(super) ended: u64,
}

/// A system.
#[derive(Clone, Debug)]
pub(super) struct System {
    client: Client,
    url: String,
}

/// Sends each count of orders and waits until they have ended, or nothing changes any more.
pub(super) async fn measure(
    url: &str,
    args: &ExperimentArgs,
    products: &Products,
    bar: &ProgressBar,
    run: &mut Run,
) -> Result<()> {
    let system = System::at(url)?;
    for &orders in &args.orders {
        let before = system.rows(&args.last_status).await?;
        let started = Instant::now();
        let outcomes = system.send(args, products, orders, bar).await;
        let (after, changed) = system.ended(args, before.ended + outcomes.done()).await?;
        ensure!(changed >= started, "time runs forwards");
        note(orders, &outcomes, before, after, changed - started, run);
    }
    Ok(())
}

impl System {
    /// The one at this address.
    pub(super) fn at(url: &str) -> Result<Self> {
        Ok(Self { client: http::client()?, url: url.trim_end_matches('/').to_owned() })
    }

    /// Sends so many orders.
    pub(super) async fn send(
        &self,
        args: &ExperimentArgs,
        products: &Products,
        orders: u64,
        bar: &ProgressBar,
    ) -> Outcomes {
        let (client, address, products) = (self.client.clone(), format!("{}/new_order", self.url), products.clone());
        generator::run(args.pace(), Until::Count(orders), bar, move |n| {
            let request = client.post(&address).json(&products.body(n));
            async move { http::outcome(request.send().await).await }
        })
        .await
    }

    /// Reads the list.
    pub(super) async fn rows(&self, last: &[String]) -> Result<Rows> {
        let response = self.client.get(format!("{}/orders", self.url)).send().await?.error_for_status()?;
        let rows: Vec<Row> = response.json().await.context("GET /orders answers no rows with a status")?;
        Ok(count(&rows, last))
    }

    /// Waits until so many have ended, or nothing has changed for too long. Returns when the last change was seen.
    pub(super) async fn ended(&self, args: &ExperimentArgs, wanted: u64) -> Result<(Rows, Instant)> {
        let (mut before, mut changed) = (Rows::default(), Instant::now());
        loop {
            let now = self.rows(&args.last_status).await?;
            if now != before {
                (before, changed) = (now, Instant::now());
            }
            if now.ended >= wanted || changed.elapsed() > args.patience() {
                return Ok((now, changed));
            }
            sleep(POLL).await;
        }
    }
}

fn count(rows: &[Row], last: &[String]) -> Rows {
    let ended = rows.iter().filter(|row| last.iter().any(|last| last.eq_ignore_ascii_case(&row.status)));
    Rows { all: rows.len() as u64, ended: ended.count() as u64 }
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
