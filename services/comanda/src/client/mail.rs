//! `comanda mail ..`.

use clap::{ArgGroup, Args, Subcommand, ValueHint};
use comanda_proto::v1::{ListMailsRequest, Mail, MailFilter, MailState, ResendDeadMailsRequest, ResendMailRequest};
use prost_types::Timestamp;
use uuid::Uuid;

use super::{
    Client, ClientArgs,
    key::OrderKey,
    moment::parse_moment,
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
    /// List the mails of an order, or the undelivered mails of all orders, with the mail server's last reply.
    #[command(after_help = "\
Examples:
  comanda mail list 1042
  comanda mail list --dead
  comanda mail list --dead --reply 'sender rejected' --from 2026-11-01T00:00:00Z")]
    List(ListArgs),
    /// Send a mail again as a new copy, or all dead mails that match.
    #[command(after_help = "\
Examples:
  comanda mail resend 1042 3
  comanda mail resend --dead --reply 'sender rejected'
  comanda mail resend --dead --status delivered --from 2026-11-01T00:00:00Z --before 2026-11-02T00:00:00Z

With --dead each mail is sent again once: a second run finds only mails that died again since.")]
    Resend(ResendArgs),
}

/// Which mails to list.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").required(true).args(["order", "dead", "too_old"]).multiple(true)))]
struct ListArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER", conflicts_with_all = ["dead", "too_old", "status", "reply", "from", "before"])]
    order: Option<OrderKey>,
    /// The dead mails of all orders that were not sent again.
    #[arg(long)]
    dead: bool,
    /// The mails of all orders that were suppressed because they were too old, and not sent again.
    #[arg(long)]
    too_old: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Which mails to send again.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("which").required(true).args(["order", "dead"])))]
struct ResendArgs {
    /// The order's id or number.
    #[arg(value_name = "ID|NUMBER", requires = "version", conflicts_with_all = ["dead", "too_old", "status", "reply", "from", "before"])]
    order: Option<OrderKey>,
    /// The transition that the mail reports.
    #[arg(value_name = "VERSION", value_parser = clap::value_parser!(i64).range(1..))]
    version: Option<i64>,
    /// A UUID that makes it safe to repeat the command; made up if absent.
    #[arg(long, value_name = "UUID", conflicts_with = "dead")]
    request_id: Option<Uuid>,
    /// All dead mails that match.
    #[arg(long)]
    dead: bool,
    /// With --dead: also mails that were suppressed because they were too old.
    #[arg(long, requires = "dead")]
    too_old: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Conditions on undelivered mails. All that are given must hold.
#[derive(Args, Clone, Debug)]
struct Filter {
    /// Only mails that report one of these statuses.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,
    /// Only mails whose last reply contains this text, in upper or lower case.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_hint = ValueHint::Other)]
    reply: String,
    /// Only mails that became undelivered at or after this time (RFC 3339, with Z or an offset).
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    from: Option<Timestamp>,
    /// Only mails that became undelivered before this time (RFC 3339, with Z or an offset).
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    before: Option<Timestamp>,
}

/// Does it.
pub async fn run(args: MailArgs) -> Result<(), Failure> {
    let client = Client::try_from(args.client)?;
    match args.verb {
        Verb::List(args) => list(&client, args).await,
        Verb::Resend(ResendArgs { order: Some(order), version: Some(version), request_id, .. }) => {
            resend(&client, order, version, request_id.unwrap_or_else(Uuid::new_v4)).await
        }
        Verb::Resend(args) => resend_dead(&client, args).await,
    }
}

async fn list(client: &Client, args: ListArgs) -> Result<(), Failure> {
    let mut request = ListMailsRequest { page_size: MAX_PAGE_SIZE, ..Default::default() };
    match args.order {
        Some(order) => request.order_id = client.order_id(order).await?,
        None => request.filter = Some(filter(&args)),
    }
    let of_order = args.order.is_some();
    loop {
        let page = client.api.list_mails(request.clone()).await?;
        if request.page_token.is_empty() {
            client.print.heading(|paint| header(paint, of_order))?;
        }
        for mail in &page.mails {
            client.print.show("comanda.v1.Mail", mail, |_| row(mail, of_order))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

fn filter(args: &ListArgs) -> MailFilter {
    let wanted = [(args.dead, MailState::Dead), (args.too_old, MailState::Suppressed)];
    let Filter { status, reply, from, before } = args.filter.clone();
    MailFilter {
        states: wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, state)| state.into()).collect(),
        statuses: status,
        undelivered_from_time: from,
        undelivered_before_time: before,
        reply_contains: reply,
    }
}

async fn resend(client: &Client, key: OrderKey, version: i64, request_id: Uuid) -> Result<(), Failure> {
    let request_id = request_id.to_string();
    let advice = format!("repeat it with --request-id {request_id}: it cannot make two copies");
    let request = ResendMailRequest { order_id: client.order_id(key).await?, version, request_id };
    let answer = client.api.resend_mail(request).await;
    let answer = answer.map_err(|error| Failure::from(error).advise_if_unknown(&advice))?;
    let mail = answer.mail.unwrap_or_default();
    client.print.heading(|paint| header(paint, true))?;
    client.print.show("comanda.v1.Mail", &mail, |_| row(&mail, true))?;
    if answer.replayed {
        client.print.notice("that copy had been made before: nothing new is sent");
    }
    Ok(())
}

/// Calls until nothing is left that had died when it began: a copy that dies meanwhile is not sent a third time.
async fn resend_dead(client: &Client, args: ResendArgs) -> Result<(), Failure> {
    let Filter { status, reply, from, before } = args.filter;
    let mut request = ResendDeadMailsRequest {
        statuses: status,
        died_from_time: from,
        died_before_time: before,
        reply_contains: reply,
        include_too_old: args.too_old,
        max_mails: 0,
    };
    let mut resent = 0i64;
    loop {
        let advice = "repeat it: a mail that was sent again is not chosen twice";
        let answer = client.api.resend_dead_mails(request.clone()).await;
        let answer = answer.map_err(|error| Failure::from(error).advise_if_unknown(advice))?;
        resent += i64::from(answer.resent_count);
        if !answer.more_remain {
            break;
        }
        request.died_before_time = request.died_before_time.or(answer.selection_time);
    }
    let json = serde_json::json!({ "resentCount": resent });
    Ok(client.print.value(&json, &format!("{resent} mails are sent again"))?)
}

/// Mails of one order need no number, and a list of many orders no addresses.
fn header(paint: Paint, of_order: bool) -> String {
    let who = if of_order { "RECIPIENT" } else { "ORDER" };
    paint.dim(&cells(["VERSION", "COPY", "STATE", "STATUS", "TRIES", "UPDATED", who, "LAST REPLY"], of_order))
}

fn row(mail: &Mail, of_order: bool) -> String {
    let who = if of_order { mail.recipient.clone() } else { mail.number.to_string() };
    cells(
        [
            &mail.version.to_string(),
            &mail.copy.to_string(),
            &word(mail.state().as_str_name(), "MAIL_STATE_"),
            &mail.status,
            &mail.attempts.to_string(),
            &time(mail.update_time),
            &who,
            &mail.last_reply,
        ],
        of_order,
    )
}

fn cells(texts: [&str; 8], of_order: bool) -> String {
    let widths = [7, 4, 10, 14, 5, 20, if of_order { 28 } else { 8 }, 0];
    columns(&std::array::from_fn::<_, 8, _>(|index| (texts[index], widths[index])))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use comanda_kit::settings;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        verb: Verb,
    }

    fn parse(line: &str) -> Result<Verb, clap::Error> {
        settings::try_parse_from(std::iter::once("mail").chain(line.split(' '))).map(|cli: Cli| cli.verb)
    }

    #[test]
    fn mails_are_named_by_order_and_version_or_by_a_filter() {
        for right in [
            "list 1042",
            "list --dead",
            "list --too-old --reply x",
            "list --dead --too-old --status a,b --from 2026-11-01T00:00:00Z --before 2026-11-02T00:00:00-03:00",
            "resend 1042 3",
            "resend 1042 3 --request-id 018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60",
            "resend --dead",
            "resend --dead --too-old --status a --reply -x",
        ] {
            assert!(parse(right).is_ok(), "{right}: {:?}", parse(right).err());
        }
        for wrong in [
            "list",
            "list --reply x",
            "list 1042 --dead",
            "resend",
            "resend 1042",
            "resend 1042 0",
            "resend 1042 3 --dead",
            "resend 1042 3 --status a",
            "resend --too-old",
            "list --dead --from 2026-11-01",
            "list --dead --from 2026-11-01T00:00:00",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_filter_of_the_command_line_is_one_of_the_api() {
        let Ok(Verb::List(args)) = parse("list --too-old --status a,b --reply x --from 2026-11-01T00:00:00.5Z") else {
            panic!("not parsed");
        };
        let filter = filter(&args);
        assert_eq!(
            (filter.states, filter.statuses.len(), &*filter.reply_contains),
            (vec![MailState::Suppressed.into()], 2, "x")
        );
        assert_eq!(filter.undelivered_from_time.map(|time| time.nanos), Some(500_000_000));
    }
}
