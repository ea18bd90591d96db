//! `comanda order import`.

use std::{fs::File, path::PathBuf};

use clap::Args;
use comanda_proto::v1::{CreateOrderRequest, Customer, Item};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{JoinError, JoinSet};

use super::{
    Client,
    batch::{Answers, Pending, Sender},
    money::parse_currency,
    rows::{self, Row},
    tally::{self, Tally},
};
use crate::failure::Failure;

/// Which file, and what its rows have in common.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
The file has a header with the columns product_name and price; other columns are ignored. Each row becomes an order of one \
product. The whole file is checked before the first row is sent. Rows are counted from 1, below the header.

The request id of a row is made of its number, its content and the import id. Importing the same file again within 7 \
days therefore creates only what is missing; with another --import-id it is another import. The same rows under another \
currency, customer, mail address, locale or workflow are refused (IDEMPOTENCY_MISMATCH): choose another --import-id for those.

Examples:
  comanda order import products.csv
  comanda order import products.csv --import-id 2026-11-22 --currency CLP --locale en")]
pub struct ImportArgs {
    /// The CSV file, in UTF-8.
    file: PathBuf,
    /// Tells imports of the same file apart.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    import_id: String,
    /// Your key for the customer of every order.
    #[arg(long, value_name = "ID", default_value = super::DEFAULT_CUSTOMER)]
    customer: String,
    /// Where the mails of every order go; no mails without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    email: String,
    /// The currency of all prices (ISO 4217).
    #[arg(long, default_value = "USD", value_parser = parse_currency)]
    currency: String,
    /// The language of the mails.
    #[arg(long, default_value = "es")]
    locale: String,
    /// The workflow to follow; the server's default without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    workflow: String,
    /// Orders in each call.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=100))]
    batch_size: u16,
    /// Calls at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
}

/// Creates the orders and tells what became of them.
pub async fn run(client: &Client, args: ImportArgs) -> Result<(), Failure> {
    let rows = rows::read(open(&args)?)?;
    let sender = Sender::connect(&client.api).await?;
    let bar = progress_bar(rows.len());
    let tally = send(client, &args, sender, &rows, &bar).await?;
    bar.finish_and_clear();
    tally.report(rows.len(), client.print)
}

fn open(args: &ImportArgs) -> Result<File, Failure> {
    File::open(&args.file).map_err(|error| Failure::refused(format!("cannot open {}: {error}", args.file.display())))
}

/// On standard error, and only where that is a terminal.
fn progress_bar(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} orders, {per_sec}, {eta} left");
    ProgressBar::new(rows as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Keeps `concurrency` batches on their way until all are answered, or the server is given up.
async fn send(
    client: &Client,
    args: &ImportArgs,
    sender: Sender,
    rows: &[Row],
    bar: &ProgressBar,
) -> Result<Tally, Failure> {
    let mut batches = rows.chunks(args.batch_size.into());
    let (mut tally, mut under_way) = (Tally::default(), JoinSet::new());
    loop {
        while !tally.is_lost() && under_way.len() < args.concurrency.into() {
            let Some(batch) = batches.next() else { break };
            let pending = batch.iter().map(|row| args.pending(row)).collect();
            under_way.spawn(sender.clone().send(pending));
        }
        let Some(answers) = under_way.join_next().await else { return Ok(tally) };
        note(client, &answers.unwrap_or_else(panicked), &mut tally, bar)?;
    }
}

fn note(client: &Client, answers: &Answers, tally: &mut Tally, bar: &ProgressBar) -> Result<(), Failure> {
    tally.add(answers);
    bar.inc(answers.rows.len() as u64);
    for answer in &answers.rows {
        client.print.record_value(&tally::record(answer))?;
    }
    Ok(())
}

/// Nobody cancels these tasks, so this is a bug, to be seen as what it is.
fn panicked(error: JoinError) -> Answers {
    std::panic::resume_unwind(error.into_panic())
}

impl ImportArgs {
    fn pending(&self, row: &Row) -> Pending {
        Pending { number: row.number, request: self.request(row) }
    }

    fn request(&self, row: &Row) -> CreateOrderRequest {
        CreateOrderRequest {
            request_id: row.request_id(&self.import_id).to_string(),
            customer: Some(self.customer()),
            items: vec![self.item(row)],
            workflow: self.workflow.clone(),
            ..CreateOrderRequest::default()
        }
    }

    fn customer(&self) -> Customer {
        Customer {
            customer_id: self.customer.clone(),
            email: self.email.clone(),
            locale: self.locale.clone(),
            ..Customer::default()
        }
    }

    fn item(&self, row: &Row) -> Item {
        Item {
            name: row.product_name.clone(),
            quantity: 1,
            unit_price: Some(row.price.in_currency(&self.currency)),
            ..Item::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use clap::Parser;
    use comanda_proto::v1::{
        BatchCreateOrdersRequest, BatchCreateOrdersResponse, CreateOrderResponse,
        batch_create_orders_response::{Result as RowResult, result::Outcome},
    };
    use tonic::{Code, Status};
    use tonic_types::pb;

    use super::{
        super::fake::{Fake, Script, serve},
        *,
    };
    use crate::failure::Exit;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: ImportArgs,
    }

    type Answer = Result<BatchCreateOrdersResponse, Status>;

    /// Imports three rows in batches of two, one at a time, and returns the calls.
    async fn import(answers: Vec<Answer>) -> (Result<(), Failure>, Vec<BatchCreateOrdersRequest>) {
        let mut file = tempfile();
        file.1.write_all(b"product_name,price\nA,1\nB,2\nC,3\n").expect("written");
        let args = ["import", &file.0.display().to_string(), "--batch-size", "2", "--concurrency", "1"];
        let args = Cli::parse_from(args).args;
        let (fake, client) = serve(Fake { batch: Script::new(answers), ..Fake::default() }, &[]).await;
        let end = run(&client, args).await;
        std::fs::remove_file(file.0).expect("removed");
        (end, fake.batch.asked())
    }

    fn tempfile() -> (PathBuf, File) {
        let path = std::env::temp_dir().join(format!("comanda-import-{}.csv", uuid::Uuid::new_v4()));
        (path.clone(), File::create(path).expect("created"))
    }

    fn answer(outcomes: Vec<Outcome>) -> Answer {
        let results = outcomes.into_iter().map(|outcome| RowResult { outcome: Some(outcome) }).collect();
        Ok(BatchCreateOrdersResponse { results })
    }

    fn created() -> Outcome {
        Outcome::Created(CreateOrderResponse::default())
    }

    fn names(requests: &[BatchCreateOrdersRequest]) -> Vec<String> {
        let name = |request: &CreateOrderRequest| request.items[0].name.clone();
        requests.iter().map(|batch| batch.requests.iter().map(name).collect()).collect()
    }

    #[tokio::test]
    async fn an_outage_is_outlasted_under_the_same_request_ids() {
        let down = Err(Status::unavailable("restart"));
        let (end, asked) = import(vec![down, answer(vec![created(), created()]), answer(vec![created()])]).await;
        end.expect("all created");
        assert_eq!(names(&asked), ["AB", "AB", "C"]);
        assert_eq!(asked[0], asked[1]);
    }

    #[tokio::test]
    async fn a_refused_row_fails_alone() {
        let refused = pb::Status { code: Code::InvalidArgument as i32, message: "no".into(), ..Default::default() };
        let first = answer(vec![created(), Outcome::Error(refused)]);
        let (end, asked) = import(vec![first, answer(vec![created()])]).await;
        let failure = end.expect_err("one row failed");
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(failure.message, "rows not created: 1\n  row 2: no (INVALID_ARGUMENT)");
        assert_eq!(names(&asked), ["AB", "C"]);
    }
}
