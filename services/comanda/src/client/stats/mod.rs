//! `comanda stats ..`.

mod cell;
mod filter;
mod plot;
mod reports;
mod state;
mod table;

use std::io::{self, Write};

use clap::{Args, Subcommand};
use comanda_client::Error;
use comanda_proto::v1::{Bucket, ReportFilter};
use time::OffsetDateTime;

use self::{
    filter::{FilterArgs, trend},
    reports::{Answer, Report, Row, table},
};
use super::{Client, ClientArgs, print::time};
use crate::{failure::Failure, operate::rebuild::RebuildArgs};

/// What to count.
#[derive(Args, Debug)]
#[command(after_help = "\
Everything is about your tenant. Times are rounded down to full hours of UTC; at most 366 days. Without --bucket each row is the sum of the \
whole time, with its course by hours or days beside it.

Examples:
  comanda stats orders
  comanda stats dwell --from 7d --workflow delivery
  comanda stats rates --from 2026-11-01T00:00:00-03:00 --bucket day
  comanda stats revenue --from 30d --csv > revenue.csv
  comanda stats couriers --courier maria --json | jq .completedCount
  comanda stats state")]
pub struct StatsArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Print comma-separated values: durations in seconds, shares from 0 to 1.
    #[arg(long, global = true, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// How many orders entered each status, and how many are in it at the end.
    #[command(after_help = "Example:\n  comanda stats orders --from 36h --bucket hour")]
    Orders,
    /// How long orders stayed in each status: mean, and what 50, 90 and 99 of 100 did not exceed.
    #[command(after_help = "Example:\n  comanda stats dwell --from 7d --bucket day --workflow delivery")]
    Dwell,
    /// How orders ended, and how many pickups were on time.
    #[command(after_help = "Example:\n  comanda stats rates --from 30d --bucket day --csv")]
    Rates,
    /// What was sold, by currency: orders that ended well.
    #[command(
        after_help = "Example:\n  comanda stats revenue --from 2026-10-01T00:00:00-03:00 --to 2026-11-01T00:00:00-03:00"
    )]
    Revenue,
    /// What each courier did.
    #[command(after_help = "Example:\n  comanda stats couriers --from 7d --courier maria")]
    Couriers {
        /// Only this courier.
        #[arg(long, value_name = "COURIER", default_value = "", hide_default_value = true)]
        courier: String,
    },
    /// Up to when everything is counted, and whether a rebuild is running.
    State,
    /// Count the whole history again: an operator's command on the database, without a server.
    Rebuild(RebuildArgs),
}

/// Does it.
pub async fn run(args: StatsArgs) -> Result<(), Failure> {
    let report = match args.verb {
        Verb::Orders => Report::Orders,
        Verb::Dwell => Report::Dwell,
        Verb::Rates => Report::Rates,
        Verb::Revenue => Report::Revenue,
        Verb::Couriers { courier } => Report::Couriers(courier),
        Verb::State => return state::run(&Client::try_from(args.client)?).await,
        Verb::Rebuild(args) => return Ok(crate::operate::rebuild::run(args).await?),
    };
    let shown = Shown { client: Client::try_from(args.client)?, filter: args.filter.filter(now()), csv: args.csv };
    let api = &shown.client.api;
    match report {
        Report::Orders => shown.show(|filter| reports::orders(api, filter)).await,
        Report::Dwell => shown.show(|filter| reports::dwell(api, filter)).await,
        Report::Rates => shown.show(|filter| reports::rates(api, filter)).await,
        Report::Revenue => shown.show(|filter| reports::revenue(api, filter)).await,
        Report::Couriers(courier) => shown.show(|filter| reports::couriers(api, filter, courier.clone())).await,
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// How a report is shown.
struct Shown {
    client: Client,
    filter: ReportFilter,
    csv: bool,
}

impl Shown {
    async fn show<R: Row, F>(&self, ask: impl Fn(ReportFilter) -> F) -> Result<(), Failure>
    where
        F: Future<Output = Result<Answer<R>, Error>>,
    {
        let answer = ask(self.filter.clone()).await?;
        for row in &answer.rows {
            self.client.print.record(R::NAME, row)?;
        }
        let table = table(&answer.rows);
        if self.csv {
            return Ok(writeln!(io::stdout().lock(), "{}", table.csv())?);
        }
        if !self.client.print.is_for_people() {
            return Ok(());
        }
        if self.filter.bucket() != Bucket::Total {
            self.client.print.heading(|paint| table.in_buckets(paint))?;
        } else if !answer.rows.is_empty() {
            let (filter, starts) = trend(&self.filter);
            // The course is beside the matter: a report that is too large by hours or days is shown without.
            let course = ask(filter).await.map(|answer| answer.rows).unwrap_or_default();
            self.client.print.heading(|paint| table.with_course(paint, &self::table(&course), &starts))?;
        }
        self.client.print.notice(&self.about(answer.rows.is_empty(), &time(answer.fold_time)));
        Ok(())
    }

    /// What was asked for, and how complete it is.
    fn about(&self, is_empty: bool, fold_time: &str) -> String {
        let (from, before) = (time(self.filter.from_time), time(self.filter.before_time));
        let nothing = if is_empty { "nothing " } else { "" };
        format!("{nothing}from {from} to {before}; complete up to {fold_time}")
    }
}
