//! Where mails go: to a mail server, or into a directory.

use std::{io, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};
use tracing::warn;

use super::{
    compose::Letter,
    config::Config,
    outcome::{Cause, Outcome},
    server::Security,
    smtp::{Settings, Smtp},
};

/// What the settings say about the way that mails take.
#[derive(Clone)]
pub enum Route {
    /// To a mail server.
    Server(Arc<Settings>),
    /// Into a directory.
    Directory(PathBuf),
}

impl Route {
    /// Reads the settings; `None` where mails are to wait.
    pub fn new(config: &Config) -> Result<Option<Self>> {
        let Some(server) = &config.smtp_url else {
            return config.mail_dir.clone().map(directory).transpose();
        };
        let password = password(config)?;
        if server.user.is_some() && server.security == Security::Plain {
            warn!("SMTP_URL sends the password without encryption; ?tls=required or smtps:// would encrypt it");
        }
        Ok(Some(Self::Server(Arc::new(Settings::new(config, server.clone(), password)?))))
    }

    /// Where mails go, for the log.
    pub fn describe(&self) -> String {
        match self {
            Self::Server(settings) => format!("to the mail server {}", settings.address()),
            Self::Directory(path) => format!("into the directory {}", path.display()),
        }
    }

    /// A transport of one sender.
    pub fn open(&self) -> Transport {
        match self {
            Self::Server(settings) => Transport::Smtp(Box::new(Smtp::new(settings.clone()))),
            Self::Directory(path) => Transport::Directory(path.clone()),
        }
    }
}

fn directory(path: PathBuf) -> Result<Route> {
    std::fs::create_dir_all(&path).with_context(|| format!("the mail directory {} can not be made", path.display()))?;
    Ok(Route::Directory(path))
}

fn password(config: &Config) -> Result<Option<String>> {
    if let Some(path) = &config.smtp_password_file {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("SMTP_PASSWORD_FILE {} can not be read", path.display()))?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).into()));
    }
    let in_url = config.smtp_url.as_ref().and_then(|server| server.password.clone());
    if in_url.is_some() && std::env::var_os("SMTP_URL").is_none() {
        bail!("a password on the command line is open to everybody on the machine: set SMTP_URL in the environment");
    }
    Ok(config.smtp_password.clone().or(in_url).map(|secret| secret.0))
}

/// The way of one sender's mails, one after the other.
pub enum Transport {
    /// A connection to a mail server.
    Smtp(Box<Smtp>),
    /// A directory.
    Directory(PathBuf),
}

impl Transport {
    /// Makes sure that mails can go out at all.
    pub async fn connect(&mut self) -> Result<(), Outcome> {
        match self {
            Self::Smtp(smtp) => smtp.connect().await,
            Self::Directory(_) => Ok(()),
        }
    }

    /// All that can be done before a mail may have gone out.
    pub async fn prepare(&mut self, letter: &Letter) -> Result<(), Outcome> {
        match self {
            Self::Smtp(smtp) => smtp.prepare(letter).await,
            Self::Directory(path) => {
                let written = write(path.join(draft(letter)), &letter.bytes).await;
                written.map_err(|error| Outcome::Paused(Cause::Unreachable, format!("not written: {error}")))
            }
        }
    }

    /// Sends what was prepared.
    pub async fn deliver(&mut self, letter: &Letter) -> Outcome {
        match self {
            Self::Smtp(smtp) => smtp.deliver(letter).await,
            Self::Directory(path) => match fs::rename(path.join(draft(letter)), path.join(&letter.file)).await {
                Ok(()) => Outcome::Sent(format!("250 written to {}", letter.file)),
                Err(error) => Outcome::Later(format!("not written: {error}")),
            },
        }
    }

    /// Forgets what was prepared.
    pub fn abandon(&mut self) {
        if let Self::Smtp(smtp) = self {
            smtp.abandon();
        }
    }

    /// Nothing to send for a while.
    pub async fn close(&mut self) {
        if let Self::Smtp(smtp) = self {
            smtp.close().await;
        }
    }
}

/// The name of a file that is not complete yet: no mail program takes it for a mail.
fn draft(letter: &Letter) -> String {
    format!(".{}.draft", letter.file)
}

async fn write(path: PathBuf, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path).await?;
    file.write_all(bytes).await?;
    file.sync_all().await
}
