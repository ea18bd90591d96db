//! `comanda order import`.

mod args;
mod header;
mod identity;
mod price;
mod problems;
mod records;
mod row;
mod rows;
mod text;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::{JoinError, JoinSet};

pub use self::args::ImportArgs;
use super::{
    Client,
    batch::{Answers, Pending, Sender},
    tally::{self, Tally},
};
use crate::failure::Failure;

/// What a message shows of a text from the file.
const MAX_SHOWN_CHARS: usize = 60;

/// Creates the orders and prints the outcome of each.
pub async fn run(client: &Client, args: ImportArgs) -> Result<(), Failure> {
    let bytes = args.bytes()?;
    let import = args.import_id()?;
    let rows = rows::read(&bytes, &args.format()?).map_err(|problems| Failure::refused(problems.to_string()))?;
    let pending: Vec<_> = rows.iter().map(|row| args.pending(row, &import)).collect();
    let sender = Sender::connect(&client.api).await?;
    let bar = progress_bar(rows.len());
    let tally = send(client, &args, sender, &pending, &bar).await?;
    bar.finish_and_clear();
    if tally.already_there() > 0 {
        client.print.notice(
            "rows that were there already belong to an earlier run of this import; see IMPORTING AGAIN in --help",
        );
    }
    tally.report(rows.len(), client.print)
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
    rows: &[Pending],
    bar: &ProgressBar,
) -> Result<Tally, Failure> {
    let mut batches = rows.chunks(args.batch_size.into());
    let (mut tally, mut under_way) = (Tally::default(), JoinSet::new());
    loop {
        while !tally.is_lost() && under_way.len() < args.concurrency.into() {
            let Some(batch) = batches.next() else { break };
            under_way.spawn(sender.clone().send(batch.to_vec()));
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

/// A text from the file as a message shows it: in quotes, cut, and with everything escaped that cannot be seen or that a terminal obeys.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use clap::Parser;
    use comanda_proto::v1::{
        BatchCreateOrdersRequest, BatchCreateOrdersResponse, CreateOrderRequest, CreateOrderResponse,
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

    /// A folder of one test, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("comanda-import-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&path).expect("created");
            Self(path)
        }

        fn file(&self, name: &str, content: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, content).expect("written");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("removed");
        }
    }

    fn args(file: &Path, more: &[&str]) -> ImportArgs {
        let file = file.display().to_string();
        Cli::parse_from([&["import", &file], more].concat()).args
    }

    /// Imports three rows in batches of two, one at a time, and returns the calls.
    async fn import(answers: Vec<Answer>) -> (Result<(), Failure>, Vec<BatchCreateOrdersRequest>) {
        let folder = Folder::new();
        let file = folder.file("three.csv", "product_name,price\nA,1\nB,2\nC,3\n");
        let (fake, client) = serve(Fake { batch: Script::new(answers), ..Fake::default() }, &[]).await;
        let end = run(&client, args(&file, &["--batch-size", "2", "--concurrency", "1"])).await;
        (end, fake.batch.asked())
    }

    /// Imports a file and returns the request ids, and the requests themselves.
    async fn sent(file: &Path, more: &[&str]) -> Vec<CreateOrderRequest> {
        let (fake, client) = serve(Fake::default(), &[]).await;
        run(&client, args(file, more)).await.expect_err("the script is empty");
        fake.batch.asked().into_iter().flat_map(|batch| batch.requests).collect()
    }

    fn ids(requests: &[CreateOrderRequest]) -> Vec<&str> {
        requests.iter().map(|request| request.request_id.as_str()).collect()
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

    #[tokio::test]
    async fn a_file_that_lost_and_moved_rows_makes_nothing_new() {
        let folder = Folder::new();
        let file = folder.file("menu.csv", "product_name,price\nArepa,2\nTaco,3\nTaco,3.00\nTinto,0.8\n");
        let first = sent(&file, &[]).await;
        folder.file("menu.csv", "price;product_name\r\n0.80;Tinto\r\n3;Taco\r\n");
        let again = sent(&file, &[]).await;
        assert_eq!(ids(&again), [&*first[3].request_id, &*first[1].request_id]);
        assert_ne!(first[1].request_id, first[2].request_id);
    }

    #[tokio::test]
    async fn another_file_is_another_import_unless_the_user_says_otherwise() {
        let folder = Folder::new();
        let rows = "product_name,price\nArepa,2\n";
        let (monday, tuesday) = (folder.file("monday.csv", rows), folder.file("tuesday.csv", rows));
        assert_ne!(sent(&monday, &[]).await[0], sent(&tuesday, &[]).await[0]);
        let named = ["--import-id", "week 48"];
        assert_eq!(sent(&monday, &named).await, sent(&tuesday, &named).await);
        assert_ne!(sent(&monday, &named).await, sent(&monday, &["--import-id", "week 49"]).await);
    }

    #[tokio::test]
    async fn a_file_is_the_same_under_every_spelling_of_its_path() {
        let folder = Folder::new();
        let file = folder.file("menu.csv", "product_name,price\nArepa,2\n");
        let link = folder.0.join("link.csv");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        assert_eq!(sent(&link, &[]).await, sent(&folder.0.join(".").join("menu.csv"), &[]).await);
        let failure = args(Path::new("/dev/null"), &[]).import_id().expect_err("not a file");
        assert!(failure.message.contains("--import-id"), "{}", failure.message);
    }

    #[tokio::test]
    async fn what_the_user_does_not_say_is_left_to_the_server() {
        let folder = Folder::new();
        let file = folder.file("menu.csv", "product_name,price\nArepa,2\n");
        let customer = |requests: Vec<CreateOrderRequest>| requests[0].customer.clone().unwrap_or_default();
        assert_eq!(customer(sent(&file, &[]).await).locale, "");
        assert_eq!(customer(sent(&file, &["--locale", "en"]).await).locale, "en");
    }

    #[tokio::test]
    async fn nothing_is_sent_of_a_file_with_a_problem() {
        let folder = Folder::new();
        let file = folder.file("menu.csv", "product_name,price\nArepa,2\nTaco,2.5\n");
        let (fake, client) = serve(Fake::default(), &[]).await;
        let failure = run(&client, args(&file, &["--currency", "CLP"])).await.expect_err("refused");
        assert_eq!(failure.exit, Exit::Refused);
        let problem = "row 2, line 3: column price: \"2.5\": CLP has no decimals";
        assert!(failure.message.contains(problem), "{}", failure.message);
        assert!(Cli::try_parse_from(["import", "menu.csv", "--currency", "ZZZ"]).is_err());
        assert!(fake.batch.asked().is_empty());
    }
}
