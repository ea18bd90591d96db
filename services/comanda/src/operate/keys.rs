//! `comanda access` and `comanda key`: API keys. They are written into the database directly; no server takes part.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};
use comanda_kit::{
    access::{
        key,
        store::{
            KeyRow,
            operator::{NewKey, Operator},
        },
    },
    errors::Violations,
    postgres,
};
use comanda_proto::access::Role;
use time::OffsetDateTime;
use tonic::Status;

use super::{
    invoker,
    lines::{moment, print_lines},
    period::parse_period,
};
use crate::terminal::escape;

/// The key of a tenant that `comanda access init` makes.
const FIRST: &str = "owner";
const PAGE: i64 = 500;

/// `comanda access`.
#[derive(Args, Clone, Debug)]
pub struct AccessArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(subcommand)]
    verb: AccessVerb,
}

#[derive(Clone, Debug, Subcommand)]
enum AccessVerb {
    /// Make the first key of a tenant, for its owner, and print it. It is shown this once.
    Init(TenantArgs),
}

/// Whose keys.
#[derive(Args, Clone, Debug)]
struct TenantArgs {
    /// The tenant.
    #[arg(long, value_name = "NAME", value_parser = name)]
    tenant: String,
}

/// `comanda key`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  comanda key create --tenant acme --role staff --name pos-1 --expires 90d
  comanda key roll --tenant acme pos-1 --overlap 24h
  comanda key revoke --tenant acme pos-1

A key is printed once, alone on standard output; only its hash is stored. A revoked key is refused within a minute, also on open streams.")]
pub struct KeyArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    #[command(subcommand)]
    verb: KeyVerb,
}

#[derive(Clone, Debug, Subcommand)]
enum KeyVerb {
    /// Make a key and print it.
    Create(CreateArgs),
    /// Show the keys: what they may do, and until when.
    List(ListArgs),
    /// Revoke a key.
    Revoke(WhichArgs),
    /// Give a key a new secret and print the new key; the old one stays good for a while.
    Roll(RollArgs),
}

#[derive(Args, Clone, Debug)]
struct CreateArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// What its holder may do: owner, staff, courier, customer, service or operator.
    #[arg(long)]
    role: Role,
    /// Who holds it: the actor in the history, of a customer its customer_id, of a courier its courier_id.
    #[arg(long, value_parser = name)]
    name: String,
    /// How long it is good, as in 90d or 12h [default: until it is revoked].
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    expires: Option<Duration>,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Only those of this tenant [default: the whole installation].
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct WhichArgs {
    #[command(flatten)]
    tenant: TenantArgs,
    /// The key's name or id.
    key: String,
}

#[derive(Args, Clone, Debug)]
struct RollArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// How long the old key is good beside the new one.
    #[arg(long, value_name = "PERIOD", value_parser = parse_period, default_value = "24h")]
    overlap: Duration,
}

/// A tenant's or a caller's name.
pub fn name(text: &str) -> Result<String, String> {
    let mut violations = Violations::default();
    violations.visible_text("name", text, 1, 64);
    violations.require(!text.starts_with("system:"), "name", "must not begin with system:");
    violations.check().map_err(|error| Status::from(error).message().to_owned())?;
    Ok(text.to_owned())
}

/// `comanda access`.
pub async fn run_access(args: AccessArgs) -> Result<()> {
    let operator = Operator::connect(&args.postgres, &invoker())?;
    let AccessVerb::Init(TenantArgs { tenant }) = args.verb;
    let made = create(&operator, new_key(&tenant, FIRST, Role::Owner, None, true)).await?;
    let Some(key) = made else {
        bail!("tenant {tenant} has a key of an owner already; `comanda key list --tenant {tenant}` shows it");
    };
    println!("{key}");
    Ok(())
}

/// `comanda key`.
pub async fn run(args: KeyArgs) -> Result<()> {
    let operator = Operator::connect(&args.postgres, &invoker())?;
    match args.verb {
        KeyVerb::Create(args) => {
            let tenant = args.tenant.tenant;
            let made = create(&operator, new_key(&tenant, &args.name, args.role, args.expires, false)).await?;
            let taken = || format!("tenant {tenant} has a key {} already; revoke or roll that one", args.name);
            println!("{}", made.with_context(taken)?);
            Ok(())
        }
        KeyVerb::List(args) => list(&operator, args.tenant.as_deref()).await,
        KeyVerb::Revoke(which) => revoke(&operator, &which).await,
        KeyVerb::Roll(args) => roll(&operator, &args.which, args.overlap).await,
    }
}

/// A key to be stored, and the key itself.
fn new_key(tenant: &str, name: &str, role: Role, lifetime: Option<Duration>, only_first: bool) -> (NewKey, String) {
    let key_id = key::new_id();
    let (key, secret_hash) = key::new_secret(&key_id);
    let (tenant, name, role) = (tenant.to_owned(), name.to_owned(), role.name());
    (NewKey { key_id, tenant, name, role, secret_hash, lifetime, only_first }, key.reveal().to_owned())
}

async fn create(operator: &Operator, (new, key): (NewKey, String)) -> Result<Option<String>> {
    Ok(operator.create(&new).await?.then_some(key))
}

async fn list(operator: &Operator, tenant: Option<&str>) -> Result<()> {
    let (mut after, now) = ((String::new(), String::new()), OffsetDateTime::now_utc());
    loop {
        let rows = operator.list(tenant, (&after.0, &after.1), PAGE).await?;
        print_lines(rows.iter().map(|row| line(row, now)))?;
        let Some(last) = rows.last().filter(|_| rows.len() as i64 == PAGE) else { return Ok(()) };
        after = (last.tenant.clone(), last.key_id.clone());
    }
}

fn line(row: &KeyRow, now: OffsetDateTime) -> String {
    let state = match (row.revoke_time, row.expire_time, row.old_secret_expire_time) {
        (Some(time), _, _) => format!("revoked {}", moment(time)),
        (_, Some(time), _) if time <= now => format!("expired {}", moment(time)),
        (_, _, Some(time)) if time > now => format!("good, rolled: the old secret until {}", moment(time)),
        (_, Some(time), _) => format!("good until {}", moment(time)),
        _ => "good".into(),
    };
    format!("{}  {}  {}  {}  {state}", row.key_id, escape(&row.tenant), escape(&row.role), escape(&row.name))
}

async fn which(operator: &Operator, which: &WhichArgs) -> Result<KeyRow> {
    let WhichArgs { tenant: TenantArgs { tenant }, key } = which;
    ensure!(
        key::read(key).is_none(),
        "give the key's name or id, not the key itself: everyone here can read a command line"
    );
    let row = operator.find(tenant, key).await?;
    row.with_context(|| format!("tenant {tenant} has no key {key}; `comanda key list --tenant {tenant}` names them"))
}

async fn revoke(operator: &Operator, args: &WhichArgs) -> Result<()> {
    let row = which(operator, args).await?;
    ensure!(operator.revoke(&row.key_id).await?, "key {} is revoked already", row.key_id);
    println!("revoked {} ({}); refused everywhere within a minute", row.key_id, escape(&row.name));
    Ok(())
}

async fn roll(operator: &Operator, args: &WhichArgs, overlap: Duration) -> Result<()> {
    let row = which(operator, args).await?;
    let (key, hash) = key::new_secret(&row.key_id);
    let is_rolled = operator.roll(&row.key_id, &hash, overlap).await?;
    ensure!(
        is_rolled,
        "key {} is revoked or expired, or its old secret is still good: wait until it is not",
        row.key_id
    );
    println!("{}", key.reveal());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_line_that_nobody_takes_for_the_system() {
        assert_eq!(name("pos-1"), Ok("pos-1".into()));
        for wrong in ["", " ", "a\nb", "system:relay", &"x".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_line_says_what_a_key_is_good_for_and_nothing_of_its_secret() {
        let (new, key) = new_key("acme", "pos\u{202e}-1", Role::Staff, None, false);
        let now = OffsetDateTime::now_utc();
        let row = KeyRow {
            key_id: new.key_id.clone(),
            tenant: new.tenant,
            name: new.name,
            role: new.role.into(),
            secret_hash: new.secret_hash.to_vec(),
            old_secret_hash: None,
            old_secret_expire_time: None,
            create_time: now,
            expire_time: None,
            revoke_time: None,
        };
        let secret = key.rsplit('_').next().expect("a secret");
        let printed = line(&row, now);
        assert!(printed.contains("acme  staff") && printed.ends_with("good"), "{printed}");
        assert!(!printed.contains(secret) && !printed.contains('\u{202e}'), "{printed}");
        let hour = time::Duration::hours(1);
        let expired = KeyRow { expire_time: Some(now - hour), ..row.clone() };
        assert!(line(&expired, now).contains("expired"));
        let rolled = KeyRow { old_secret_expire_time: Some(now + hour), ..row.clone() };
        assert!(line(&rolled, now).contains("rolled"));
        assert!(line(&KeyRow { revoke_time: Some(now), ..rolled }, now).contains("revoked"));
    }
}
