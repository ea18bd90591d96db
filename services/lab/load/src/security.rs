//! What the caller of a secured system needs: its CA, and an API key.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use comanda_client::{Address, Client, Config, Credentials, tls::Tls};

/// How a system is secured, if it is.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// A folder with ca.crt, server.crt and server.key; `None`: no TLS and no access control.
    folder: Option<Arc<Path>>,
    credentials: Credentials,
}

impl Security {
    /// By the certificates in a folder, if one is given. No key is known yet.
    pub fn of(folder: Option<&PathBuf>) -> Result<Self> {
        for name in
            folder.iter().flat_map(|folder| ["ca.crt", "server.crt", "server.key"].map(|name| folder.join(name)))
        {
            ensure!(name.is_file(), "--secured: there is no {}; scripts/certs server makes all three", name.display());
        }
        Ok(Self { folder: folder.map(|folder| folder.as_path().into()), credentials: Credentials::none() })
    }

    /// Whether there are TLS and access control.
    pub fn is_on(&self) -> bool {
        self.folder.is_some()
    }

    /// Shows this key from now on.
    pub fn show(&mut self, key: &str) -> Result<()> {
        self.credentials = Credentials::token(key.trim()).context("the program made no key")?;
        Ok(())
    }

    /// What every role is told.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let file = |name| folder.join(name).display().to_string();
        vec![
            ("COMANDA_ACCESS", "required".into()),
            ("COMANDA_TLS_CERT", file("server.crt")),
            ("COMANDA_TLS_KEY", file("server.key")),
        ]
    }

    /// A client of the server at an address.
    pub fn client(&self, address: SocketAddr) -> Result<Client> {
        let scheme = if self.is_on() { "https" } else { "http" };
        let address: Address = format!("{scheme}://{address}").parse().map_err(anyhow::Error::msg)?;
        let ca = self.folder.as_ref().map(|folder| folder.join("ca.crt"));
        let tls = Tls { ca, ..Tls::default() };
        Ok(Client::new(Config { tls, credentials: self.credentials.clone(), ..Config::at(address) }))
    }

    /// What is shown with each call.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}
