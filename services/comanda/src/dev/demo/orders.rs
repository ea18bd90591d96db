//! A menu's worth of orders, from received to delivered.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result, anyhow};
use comanda_client::{Client, Config, Update};
use comanda_kit::settings;
use comanda_proto::v1::{
    OrderTransition, WatchFilter, WatchOrdersRequest, WatchOrdersResponse, watch_orders_request::Start,
    watch_orders_response::Event,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Cli, Command, client};

/// A menu, as CSV.
const SAMPLE: &str = include_str!("../../../../../scripts/sample-products.csv");
/// The customer of the demo's orders, by which they are told apart from others.
const CUSTOMER: &str = "demo";
const STATUSES: [&str; 4] = ["received", "preparing", "dispatched", "delivered"];

/// How long a status lasts in the demo, unless the caller says otherwise, in milliseconds.
pub const STEP_MS: u64 = 1500;

/// Imports the sample and shows its orders until all are delivered.
pub async fn run(
    address: SocketAddr,
    data_dir: &Path,
    mail_dir: Option<&Path>,
    stop: &CancellationToken,
) -> Result<()> {
    let client = Client::new(Config::at(address.to_string().parse().map_err(|error: String| anyhow!(error))?));
    let request = WatchOrdersRequest {
        filter: Some(WatchFilter { customer_id: CUSTOMER.into(), ..Default::default() }),
        start: Some(Start::Now(Default::default())),
        ..Default::default()
    };
    let mut watch = client.watch_orders(request).await?;
    while watch.resume_token().is_none() {
        // From its first heartbeat on, the stream shows everything that happens.
        watch.next().await?;
    }
    let orders = import(address, data_dir).await?;
    let board = Board::new(orders as u64);
    let mut done = 0;
    while done < orders {
        let update = tokio::select! {
            update = watch.next() => update?,
            () = stop.cancelled() => return Ok(()),
        };
        let Update::Event(WatchOrdersResponse { event: Some(Event::Transition(transition)), .. }) = update else {
            continue;
        };
        board.show(&transition);
        done += usize::from(transition.to_status == "delivered");
    }
    board.finish();
    farewell(address, mail_dir);
    Ok(())
}

/// Runs the import verb on the sample; returns how many orders it made.
async fn import(address: SocketAddr, data_dir: &Path) -> Result<usize> {
    let file = data_dir.join("sample-products.csv");
    fs::write(&file, SAMPLE).with_context(|| format!("cannot write {}", file.display()))?;
    let (file, addr, id) = (file.display().to_string(), address.to_string(), Uuid::new_v4().to_string());
    let words = ["comanda", "order", "import", &file, "--addr", &addr, "--import-id", &id, "--customer", CUSTOMER];
    let email = ["--email", "ana@example.com"];
    let Command::Order(args) = settings::try_parse_from::<Cli>(words.into_iter().chain(email))?.command else {
        return Err(anyhow!("the import verb has moved"));
    };
    client::order::run(*args).await.map_err(|failure| anyhow!("the import failed: {}", failure.message))?;
    Ok(SAMPLE.lines().filter(|line| !line.trim().is_empty()).count() - 1)
}

/// One bar for each status: how many orders have come so far.
struct Board {
    bars: BTreeMap<&'static str, ProgressBar>,
    _together: MultiProgress,
}

impl Board {
    fn new(orders: u64) -> Self {
        let together = MultiProgress::new();
        let style = ProgressStyle::with_template("  {prefix:<11} {bar:40.green} {pos:>4}/{len}  {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |status| together.add(ProgressBar::new(orders).with_style(style.clone()).with_prefix(status));
        let bars = STATUSES.into_iter().map(|status| (status, bar(status))).collect();
        Self { bars, _together: together }
    }

    fn show(&self, transition: &OrderTransition) {
        let Some(bar) = self.bars.get(transition.to_status.as_str()) else { return };
        bar.inc(1);
        bar.set_message(format!("order {}", transition.number));
        // Without a terminal the bars are silent.
        if bar.is_hidden() && bar.length() == Some(bar.position()) {
            println!("  {}: all {} orders", transition.to_status, bar.position());
        }
    }

    fn finish(&self) {
        self.bars.values().for_each(|bar| bar.abandon_with_message(""));
    }
}

fn farewell(address: SocketAddr, mail_dir: Option<&Path>) {
    println!("\nEvery order was delivered. This server keeps running until Ctrl-C; try, in another terminal:");
    println!("  comanda order watch --all --addr {address}");
    println!(
        "  comanda order create --addr {address} --product 'Pizza Margherita' --price 12.50 --email you@example.com"
    );
    println!("  grpcurl -plaintext -d '{{\"pageSize\": 3}}' {address} comanda.v1.OrderService/ListOrders");
    if let Some(mail_dir) = mail_dir {
        println!("The mails, one for each step of each order, are in {}", mail_dir.display());
    }
}
