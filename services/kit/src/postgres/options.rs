//! How a connection is opened: where to, with which password, and whether the other side is checked.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::{task::spawn_blocking, time::sleep};
use tracing::warn;

use super::Config;

/// How often the file of the password is read.
const PASSWORD_INTERVAL: Duration = Duration::from_secs(2);

/// What the settings say. A database on another machine must be encrypted and checked: a password is sent to it.
pub fn options(config: &Config) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(&config.database_url)
        .context("DATABASE_URL must look like postgres://user@host:port/name")?;
    check(&options, config.database_insecure)?;
    Ok(match &config.database_password_file {
        Some(file) => options.password(&read_password(file)?),
        None => options,
    })
}

fn check(options: &PgConnectOptions, insecure: bool) -> Result<()> {
    let is_checked = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    if is_checked || is_here(options) {
        return Ok(());
    }
    let host = options.get_host();
    if insecure {
        warn!("connections to the database at {host} may be read and answered by others: --database-insecure");
        return Ok(());
    }
    bail!(
        "the database at {host} is not on this machine, and connections to it would not be checked: add ?sslmode=verify-full to DATABASE_URL, and \
         &sslrootcert=FILE where its CA is your own (or set PGSSLMODE and PGSSLROOTCERT); --database-insecure connects all the same"
    )
}

fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read_password(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Gives the pool the password that a file holds now, again and again until the pool is closed or the process ends. Connections that are opened
/// from then on use it. A file that cannot be read changes nothing.
pub async fn follow_password(file: PathBuf, pool: PgPool) {
    let following = async {
        loop {
            sleep(PASSWORD_INTERVAL).await;
            let reading = file.clone();
            match spawn_blocking(move || read_password(&reading)).await {
                Ok(Ok(password)) => {
                    let options = PgConnectOptions::clone(&pool.connect_options());
                    pool.set_connect_options(options.password(&password));
                }
                Ok(Err(error)) => warn!("the old password of the database is kept: {error:#}"),
                Err(_) => {}
            }
        }
    };
    tokio::select! {
        () = following => {}
        () = pool.close_event() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, insecure: bool) -> Option<String> {
        let config = Config { database_insecure: insecure, ..Config::at(url) };
        options(&config).err().map(|error| error.to_string())
    }

    #[test]
    fn only_a_database_on_this_machine_may_be_unchecked() {
        for url in [
            "postgres://comanda@127.0.0.1:5433/comanda",
            "postgres://comanda@localhost/comanda",
            "postgres://comanda@[::1]/comanda",
            "postgres:///comanda?host=/var/run/postgresql",
            "postgres://comanda@db.internal/comanda?sslmode=verify-full",
        ] {
            assert_eq!(refused(url, false), None, "{url}");
        }
        for mode in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca"] {
            let url = format!("postgres://comanda:s3cret@db.internal/comanda{mode}");
            let error = refused(&url, false).expect("refused");
            assert!(error.contains("db.internal") && error.contains("sslmode=verify-full"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
            assert_eq!(refused(&url, true), None, "{url}");
        }
        assert!(refused("postgres://comanda@127.0.0.1.example/comanda", false).is_some());
    }
}
