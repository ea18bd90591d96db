//! Settings of the mails.

use std::{path::PathBuf, time::Duration};

use clap::{Args, value_parser};
use comanda_kit::secret::Secret;
use jiff::tz::TimeZone;
use lettre::message::Mailbox;

use super::{hello, locale::Locale, schedule::Schedule};

/// Settings of the mails. Without a mail server and without a directory, mails are entered as due and wait.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// The mail server: smtp://HOST:PORT (no encryption), smtp://HOST:PORT?tls=required (STARTTLS) or smtps://HOST:PORT, with
    /// USER@ before the host if it wants a login. Give the password in SMTP_PASSWORD_FILE or in the environment variable SMTP_PASSWORD.
    #[arg(long, env = "SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<Secret>,
    /// A file that holds the password for the mail server.
    #[arg(long, env = "SMTP_PASSWORD_FILE")]
    pub smtp_password_file: Option<PathBuf>,
    /// The password itself: from the environment only, because every user of the machine can read a command line.
    #[arg(skip = Secret::from_environment("SMTP_PASSWORD"))]
    pub smtp_password: Option<Secret>,
    /// The name to give to the mail server in EHLO. Default: the host's name if it has a dot, else its address as [192.0.2.1].
    #[arg(long, env = "COMANDA_SMTP_HELLO", value_name = "NAME", value_parser = hello::parse)]
    pub smtp_hello: Option<String>,
    /// Write mails as .eml files into this directory. A file that is there is never overwritten. A mail server takes precedence.
    #[arg(long, env = "COMANDA_MAIL_DIR")]
    pub mail_dir: Option<PathBuf>,
    /// Send no mails and enter none as due: for a business that writes to its customers by other means. When mails are turned on again,
    /// every transition that Kafka still has and that is not older than the maximum age is mailed.
    #[arg(long, env = "COMANDA_NO_MAILS", conflicts_with_all = ["smtp_url", "mail_dir"])]
    pub no_mails: bool,
    /// Connections to the mail server that send at once.
    #[arg(long, env = "COMANDA_SMTP_CONNECTIONS", default_value_t = 4, value_parser = value_parser!(u16).range(1..=64))]
    pub smtp_connections: u16,
    /// How long the mail server may take for anything but accepting a message, in milliseconds.
    #[arg(long, env = "COMANDA_SMTP_TIMEOUT_MS", default_value_t = 30_000, value_parser = value_parser!(u64).range(1..))]
    pub smtp_timeout_ms: u64,
    /// How long it may take to accept a message, in milliseconds. Short times make duplicates (RFC 5321 asks for 10 minutes).
    #[arg(long, env = "COMANDA_SMTP_DATA_TIMEOUT_MS", default_value_t = 600_000, value_parser = value_parser!(u64).range(1..))]
    pub smtp_data_timeout_ms: u64,
    /// First pause, in milliseconds, after the mail server refused us and not a single mail; doubles up to 60 times this value.
    #[arg(long, env = "COMANDA_SMTP_PAUSE_MS", default_value_t = 5000, value_parser = value_parser!(u64).range(1..))]
    pub smtp_pause_ms: u64,
    /// Where customers reach the gateway, as https://HOST: each mail then has a link to the page of its order. Needs --tracking-keys.
    #[arg(long, env = "COMANDA_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,
    /// The sender of the mails.
    #[arg(long, env = "COMANDA_MAIL_FROM", default_value = "Comanda <pedidos@comanda.localhost>")]
    pub mail_from: Mailbox,
    /// The part after the @ of every Message-ID. Changing it changes the Message-IDs of mails that are being retried.
    #[arg(long, env = "COMANDA_MAIL_DOMAIN", default_value = "comanda.localhost", value_parser = domain)]
    pub mail_domain: String,
    /// Language of mails to customers without a language, or with one that has no templates.
    #[arg(long, env = "COMANDA_MAIL_DEFAULT_LOCALE", value_enum, default_value = "es")]
    pub mail_default_locale: Locale,
    /// The time zone of the clock times in mails, by its name in the IANA database, for example America/Santiago. Mails say how far it is
    /// from UTC.
    #[arg(long, env = "COMANDA_MAIL_TIME_ZONE", value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub mail_time_zone: TimeZone,
    /// Waits before a mail is tried again, each changed by up to a fifth at random. After the last one the mail is dead.
    #[arg(long, env = "COMANDA_MAIL_RETRY_DELAYS", default_value = "1m,5m,30m,1h,2h,4h,8h,16h,24h,24h")]
    pub mail_retry_delays: Schedule,
    /// How old, in hours since its transition, a mail may be when it is tried for the first time. Older ones are suppressed and counted, so
    /// that turning mails on does not send the whole past; `comanda mail resend` still sends them.
    #[arg(long, env = "COMANDA_MAIL_MAX_AGE_HOURS", value_name = "HOURS", default_value_t = 24, value_parser = value_parser!(u32).range(1..=87_600))]
    pub mail_max_age_hours: u32,
}

impl Config {
    /// For everything but the answer to a message.
    pub fn smtp_timeout(&self) -> Duration {
        Duration::from_millis(self.smtp_timeout_ms)
    }

    /// For the answer to a message.
    pub fn smtp_data_timeout(&self) -> Duration {
        Duration::from_millis(self.smtp_data_timeout_ms)
    }

    /// How old a mail may be when it is tried first.
    pub fn mail_max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.mail_max_age_hours) * 3600)
    }

    /// The first pause after an error.
    pub fn smtp_pause(&self) -> Duration {
        Duration::from_millis(self.smtp_pause_ms)
    }
}

/// A Message-ID's right side: anything else would break the header.
fn domain(text: &str) -> Result<String, String> {
    let holds = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-');
    if holds { Ok(text.into()) } else { Err("must be a domain such as mail.example.com".into()) }
}

fn public_url(text: &str) -> Result<String, String> {
    let wrong = || "must be an address such as https://orders.example, without ? and #".to_owned();
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || !is_plain {
        return Err(wrong());
    }
    Ok(url.into())
}

fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "must be the name of a time zone such as America/Santiago".into())
}
