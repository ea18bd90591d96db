//! `comanda purge`: removes orders that ended long ago, whole.

use anyhow::Result;
use clap::Args;
use comanda_kit::postgres;
use indicatif::ProgressBar;
use time::{Duration, OffsetDateTime};

use super::store::Store;

/// Kafka keeps 7 days, and the segment that is open as much again: what is younger could come back from there.
const MIN_DAYS: u16 = 15;

/// `comanda purge`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
An order is removed with its history and its mails, and only if nothing of it is still to be published or mailed.
There is no way back: make a backup first.")]
pub struct PurgeArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    /// Orders that ended at least so many days ago; at least 15.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(i64::from(MIN_DAYS)..))]
    older_than: u16,
    /// The system runs with `--no-mails`, so that orders without any mail owe none.
    #[arg(long, env = "COMANDA_NO_MAILS")]
    no_mails: bool,
}

/// Removes old orders, a chunk at a time.
pub async fn run(args: PurgeArgs) -> Result<()> {
    let store = Store::connect(&args.postgres)?;
    let before = OffsetDateTime::now_utc() - Duration::days(args.older_than.into());
    let bar = ProgressBar::new_spinner().with_message("orders removed");
    let (mut after, mut removed) = (None, 0);
    loop {
        let progress = store.purge_next(before, after, args.no_mails).await?;
        removed += progress.orders;
        bar.set_message(format!("{removed} orders removed"));
        bar.tick();
        if progress.last.is_none() {
            break;
        }
        after = progress.last;
    }
    bar.finish_and_clear();
    println!("{removed} orders removed");
    Ok(())
}
