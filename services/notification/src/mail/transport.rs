//! Where mails go: to a mail server, or into a directory.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use comanda_kit::secret::Secret;
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};
use tracing::warn;
use uuid::Uuid;

use super::{
    compose::Letter,
    config::Config,
    failure::{Failure, Phase},
    server::{Security, Server},
    smtp::{Settings, Smtp},
};

/// Where mails go, as the settings say.
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
        let Some(url) = config.smtp_url.as_ref().filter(|url| !url.reveal().is_empty()) else {
            return config.mail_dir.clone().map(directory).transpose();
        };
        let server: Server = url.reveal().parse()?;
        let password = password(config, &server)?;
        if server.user.is_some() && server.security == Security::Plain {
            warn!("SMTP_URL sends the password without encryption; ?tls=required or smtps:// would encrypt it");
        }
        Ok(Some(Self::Server(Arc::new(Settings::new(config, server, password)?))))
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
    std::fs::create_dir_all(&path)
        .with_context(|| format!("the mail directory {} cannot be created", path.display()))?;
    let probe = path.join(format!(".{}.probe", Uuid::now_v7()));
    std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).with_context(|| {
        format!(
            "this account cannot write to the mail directory {}; choose another --mail-dir or change its owner",
            path.display()
        )
    })?;
    Ok(Route::Directory(path))
}

fn password(config: &Config, server: &Server) -> Result<Option<Secret>> {
    if let Some(path) = &config.smtp_password_file {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("SMTP_PASSWORD_FILE {} cannot be read", path.display()))?;
        return Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))));
    }
    if server.password.is_some() && std::env::var_os("SMTP_URL").is_none() {
        bail!("every user of the machine can read a password on the command line: set SMTP_URL in the environment");
    }
    Ok(config.smtp_password.clone().or_else(|| server.password.clone()))
}

/// Where one sender's mails go, one after the other.
pub enum Transport {
    /// A connection to a mail server.
    Smtp(Box<Smtp>),
    /// A directory.
    Directory(PathBuf),
}

impl Transport {
    /// Makes sure that mails can be sent at all.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        match self {
            Self::Smtp(smtp) => smtp.connect().await,
            Self::Directory(_) => Ok(()),
        }
    }

    /// Does everything up to the point where a mail may have gone out.
    pub async fn prepare(&mut self, letter: &Letter) -> Result<(), Failure> {
        match self {
            Self::Smtp(smtp) => smtp.prepare(letter).await,
            Self::Directory(path) => {
                let written = write(path.join(draft(letter)), &letter.bytes).await;
                written.map_err(|error| Failure::network(Phase::Connect, format!("not written: {error}")))
            }
        }
    }

    /// Sends what was prepared, and returns the answer.
    pub async fn deliver(&mut self, letter: &Letter) -> Result<String, Failure> {
        match self {
            Self::Smtp(smtp) => smtp.deliver(letter).await,
            Self::Directory(path) => match publish(&path.join(draft(letter)), &path.join(&letter.file)).await {
                Ok(answer) => Ok(answer),
                Err(error) => Err(Failure::network(Phase::Data, format!("not written: {error}"))),
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

/// Gives a complete file its name. A link, unlike a rename, never replaces a file; where the file system has no links, a new file is written.
/// A file of this name holds the same mail: its name has the order's id.
async fn publish(draft: &Path, file: &Path) -> io::Result<String> {
    let published = match fs::hard_link(draft, file).await {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => copy(draft, file).await,
        result => result,
    };
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let answer = match published {
        Ok(()) => format!("250 written to {name}"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => format!("250 was already written to {name}"),
        Err(error) => return Err(error),
    };
    // A draft that stays does no harm.
    let _ = fs::remove_file(draft).await;
    Ok(answer)
}

async fn copy(draft: &Path, file: &Path) -> io::Result<()> {
    let bytes = fs::read(draft).await?;
    let mut new = File::create_new(file).await?;
    new.write_all(&bytes).await?;
    new.sync_all().await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn error(arguments: &[&str]) -> String {
        match Cli::try_parse_from(["test"].iter().chain(arguments)) {
            Ok(cli) => Route::new(&cli.config).map(|_| ()).expect_err("refused").to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn no_error_about_the_server_shows_its_password() {
        for url in [
            "smtp://u:geheim",
            "smtp://u:25/geheim@h",
            "smtp://u:25?geheim@h",
            "geheim",
            "smtp://u:geheim@h",
            "smtp://u:geheim@h?tls=x",
        ] {
            let message = error(&["--smtp-url", url]);
            assert!(!message.contains("geheim"), "{message}");
            let message = error(&["--smtp-url", url, "--smtp-connections", "0"]);
            assert!(!message.contains("geheim"), "{message}");
        }
    }

    #[test]
    fn an_empty_url_is_none() {
        let config = Cli::parse_from(["test", "--smtp-url", ""]).config;
        assert!(Route::new(&config).expect("no server").is_none());
    }

    #[test]
    fn a_directory_that_cannot_be_written_to_is_refused_at_the_start() {
        let config = Cli::parse_from(["test", "--mail-dir", "/proc"]).config;
        let error = Route::new(&config).err().expect("nobody can make a file there");
        assert!(error.to_string().contains("cannot write to the mail directory /proc"), "{error}");
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_not_overwritten() {
        let folder = std::env::temp_dir().join(format!("comanda-mail-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (draft, file) = (folder.join(".a.draft"), folder.join("a.eml"));
        for (text, expected) in [("first", "250 written to a.eml"), ("second", "250 was already written to a.eml")] {
            write(draft.clone(), text.as_bytes()).await.expect("written");
            assert_eq!(publish(&draft, &file).await.expect("published"), expected);
            assert!(!draft.exists());
        }
        write(draft.clone(), b"third").await.expect("written");
        assert_eq!(copy(&draft, &file).await.expect_err("there").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).expect("readable"), "first");
        std::fs::remove_dir_all(folder).expect("ours");
    }
}
