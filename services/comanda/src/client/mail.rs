//! `comanda mail ..`.

use clap::{Args, Subcommand};
use comanda_proto::v1::{ListMailsRequest, Mail, ResendMailRequest};

use super::{
    Client, ClientArgs,
    key::OrderKey,
    print::{Paint, columns, time, word},
};
use crate::failure::Failure;

/// The most that the server puts on a page.
const MAX_PAGE_SIZE: i32 = 500;

/// What to do with mails.
#[derive(Args, Debug)]
pub struct MailArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the mails of an order: one for each transition, and copies sent again.
    List {
        /// The order's id or number.
        #[arg(value_name = "ID|NUMBER")]
        order: OrderKey,
    },
    /// Send the mail of one transition again, as a new copy. Calling it twice may send two.
    #[command(after_help = "Example:\n  comanda mail resend 1042 --version 3")]
    Resend {
        /// The order's id or number.
        #[arg(value_name = "ID|NUMBER")]
        order: OrderKey,
        /// The transition.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        version: i64,
    },
}

/// Does it.
pub async fn run(args: MailArgs) -> Result<(), Failure> {
    let client = Client::from(args.client);
    match args.verb {
        Verb::List { order } => list(&client, order).await,
        Verb::Resend { order, version } => resend(&client, order, version).await,
    }
}

async fn list(client: &Client, key: OrderKey) -> Result<(), Failure> {
    let mut mails = client.servers.mails().await?;
    let order_id = client.order_id(key).await?;
    let mut page_token = String::new();
    loop {
        let is_first = page_token.is_empty();
        let request = ListMailsRequest { order_id: order_id.clone(), page_size: MAX_PAGE_SIZE, page_token, filter: None };
        let page = client.servers.answer(mails.list_mails(client.servers.request(request))).await?;
        if is_first {
            client.print.heading(header)?;
        }
        for mail in &page.mails {
            client.print.show("comanda.v1.Mail", mail, |_| row(mail))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}

async fn resend(client: &Client, key: OrderKey, version: i64) -> Result<(), Failure> {
    let mut mails = client.servers.mails().await?;
    let request = ResendMailRequest { order_id: client.order_id(key).await?, version, ..Default::default() };
    let answer = client.servers.answer(mails.resend_mail(client.servers.request(request))).await?;
    let mail = answer.mail.unwrap_or_default();
    client.print.heading(header)?;
    Ok(client.print.show("comanda.v1.Mail", &mail, |_| row(&mail))?)
}

fn header(paint: Paint) -> String {
    paint.dim(&cells(["VERSION", "COPY", "STATE", "STATUS", "TRIES", "UPDATED", "RECIPIENT", "LAST REPLY"]))
}

fn row(mail: &Mail) -> String {
    cells([
        &mail.version.to_string(),
        &mail.copy.to_string(),
        &word(mail.state().as_str_name(), "MAIL_STATE_"),
        &mail.status,
        &mail.attempts.to_string(),
        &time(mail.update_time),
        &mail.recipient,
        &mail.last_reply,
    ])
}

fn cells(texts: [&str; 8]) -> String {
    let widths = [7, 4, 10, 14, 5, 20, 28, 0];
    columns(&std::array::from_fn::<_, 8, _>(|index| (texts[index], widths[index])))
}
