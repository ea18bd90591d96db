//! The private Postgres of `comanda dev`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use postgresql_embedded::{PostgreSQL, Settings, SettingsBuilder, Status};
use tracing::{info, warn};
use uuid::Uuid;

use super::secret;

/// Selects the server's binaries on Maven Central; nothing is fetched from this address itself.
const RELEASES: &str = "https://github.com/zonkyio/embedded-postgres-binaries";
const NAME: &str = "comanda";
/// How long Postgres may take to make its folder, to start or to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// A database to work with.
pub struct Database {
    url: String,
    private: Option<(PostgreSQL, PathBuf)>,
}

impl Database {
    /// Somebody else's.
    pub fn given(url: &str) -> Self {
        Self { url: url.to_owned(), private: None }
    }

    /// Starts the private one; fetches its binaries (60 MB) the first time.
    pub async fn start(data_dir: &Path) -> Result<Self> {
        let data = data_dir.join("postgres");
        let mut server = PostgreSQL::new(settings(data_dir, &data)?);
        if !data_dir.join("postgres-server").exists() {
            info!("fetching Postgres, about 60 MB, this first time");
        }
        set_up(&mut server, &data, &data_dir.join("postgres-unfinished")).await?;
        if server.status() == Status::Started {
            warn!("the database was left running: restarting it");
            // Fails where the process is gone already.
            let _ = server.stop().await;
        }
        let log = data.join("start.log");
        server.start().await.with_context(|| format!("Postgres did not start; {} may say why", log.display()))?;
        if !server.database_exists(NAME).await? {
            server.create_database(NAME).await?;
        }
        Ok(Self { url: server.settings().url(NAME), private: Some((server, data)) })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it is, for people.
    pub fn describe(&self) -> String {
        match &self.private {
            Some((server, data)) => format!("{} (Postgres on port {})", data.display(), server.settings().port),
            None => "the database of DATABASE_URL".into(),
        }
    }

    /// Stops the private one.
    pub async fn stop(self) {
        if let Some((server, _)) = self.private
            && let Err(error) = server.stop().await
        {
            warn!("the database did not stop: {error}");
        }
    }
}

/// Makes the server's folder, once. What an earlier start left unfinished never held anything: it is made again.
async fn set_up(server: &mut PostgreSQL, data: &Path, unfinished: &Path) -> Result<()> {
    if unfinished.exists() && data.exists() {
        fs::remove_dir_all(data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    let is_new = !data.exists();
    if is_new {
        fs::write(unfinished, "").context("cannot write to the data directory")?;
    }
    server.setup().await.context("Postgres could not be set up; give a DATABASE_URL to use another")?;
    if is_new {
        fs::remove_file(unfinished).context("cannot write to the data directory")?;
    }
    Ok(())
}

fn settings(data_dir: &Path, data: &Path) -> Result<Settings> {
    let settings = SettingsBuilder::new()
        .releases_url(RELEASES)
        .installation_dir(data_dir.join("postgres-server"))
        .data_dir(data)
        .password_file(data_dir.join("postgres-password"))
        .password(secret::kept(&data_dir.join("postgres-password"), || Ok(Uuid::new_v4().simple().to_string()))?)
        .socket_dir(data_dir.join("postgres-socket"))
        .host("127.0.0.1")
        .temporary(false)
        // The library gives each of Postgres's programs 5 seconds, and a slow disk alone takes longer.
        .timeout(Some(PATIENCE))
        .config("listen_addresses", "127.0.0.1")
        // The library starts servers with fsync off: what is called kept must be.
        .config("fsync", "on")
        .build();
    Ok(settings)
}
