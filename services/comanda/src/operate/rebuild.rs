//! `comanda stats rebuild`: counts the whole history again.

use anyhow::Result;
use clap::Args;
use comanda_analytics::operator::{Options, Progress};
use comanda_kit::postgres::{self, Exclusive};
use indicatif::{ProgressBar, ProgressStyle};

use super::numbers::Numbers;

/// `comanda stats rebuild`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
There is no --tenant: the records of all tenants are counted together. The reports show the present numbers until the new ones are complete.
If it is interrupted, it continues when it is started again. It does not run at the same time as `comanda purge` or `comanda republish`. The history does not have orders that were purged: where they were counted,
the new numbers are refused unless --forget-purged is given.

Example:
  comanda stats rebuild")]
pub struct RebuildArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(flatten)]
    numbers: Numbers,
    /// Discard a rebuild that was interrupted, and start from the beginning.
    #[arg(long)]
    restart: bool,
    /// Accept the new numbers although they lack orders that were purged.
    #[arg(long)]
    forget_purged: bool,
}

/// Does it, with a bar that shows how far it is.
pub async fn run(args: RebuildArgs) -> Result<()> {
    let RebuildArgs { postgres, numbers, restart, forget_purged } = args;
    let exclusive = Exclusive::begin(&postgres, "comanda stats rebuild").await?;
    let operator = numbers.operator(&postgres)?;
    let mut bar = Bar(ProgressBar::hidden());
    let rebuilt = operator.rebuild(Options { restart, forget_purged }, &mut bar).await;
    bar.0.finish_and_clear();
    operator.close().await;
    drop(exclusive);
    println!("the history is counted again: the reports show generation {}", rebuilt?);
    Ok(())
}

/// Orders that are folded, of those that there are.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn begin(&mut self, folded: u64, left: Option<u64>) {
        self.0 = match left {
            Some(left) => ProgressBar::new(folded + left).with_style(style()),
            None => ProgressBar::new_spinner(),
        };
        self.0.set_position(folded);
    }

    fn folded(&mut self, orders: u64) {
        self.0.inc(orders);
    }
}

fn style() -> ProgressStyle {
    let style = "{wide_bar} {pos}/{len} orders, {per_sec}, {eta} left";
    ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar())
}
