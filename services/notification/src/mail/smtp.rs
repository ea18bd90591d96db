//! One connection to a mail server, owned by one sender.
//!
//! Each step has a deadline. A connection on which anything failed, or whose future was dropped, is never used again: its replies would
//! be off by one, and a refused message would count as accepted. That DATA alone is answered by 354 is the last check against that.

mod connection;
mod login;
mod offers;
mod wire;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use comanda_kit::secret::Secret;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use self::connection::Connection;
use super::{
    compose::Letter,
    config::Config,
    failure::{Cause, Failure, Phase},
    server::Server,
};

/// How every connection is made.
pub struct Settings {
    server: Server,
    password: Option<Secret>,
    /// The name to give in EHLO, where it is set.
    hello: Option<String>,
    tls: TlsConnector,
    name: ServerName<'static>,
    step_timeout: Duration,
    data_timeout: Duration,
}

impl Settings {
    /// A server and what it takes to use it.
    pub fn new(config: &Config, server: Server, password: Option<Secret>) -> Result<Self> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::trusting(roots, config, server, password)
    }

    fn trusting(roots: RootCertStore, config: &Config, server: Server, password: Option<Secret>) -> Result<Self> {
        let versions = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let tls = versions.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from(server.host.clone()).context("SMTP_URL: the host is no name and no address")?;
        let (step_timeout, data_timeout) = (config.smtp_timeout(), config.smtp_data_timeout());
        let (tls, hello) = (TlsConnector::from(Arc::new(tls)), config.smtp_hello.clone());
        Ok(Self { server, password, hello, tls, name, step_timeout, data_timeout })
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }
}

/// A connection, kept as long as nothing goes wrong.
pub struct Smtp {
    settings: Arc<Settings>,
    connection: Option<Connection>,
}

impl Smtp {
    /// Not yet connected.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, connection: None }
    }

    /// Connects, unless a connection is kept.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.settings).await?);
        }
        Ok(())
    }

    /// Goes as far as the server's consent to sender and recipient.
    pub async fn prepare(&mut self, letter: &Letter) -> Result<(), Failure> {
        if let Some(mut kept) = self.connection.take()
            && kept.is_quiet()
        {
            match kept.envelope(letter).await {
                Err(failure) if is_stale(&failure) => {}
                result => return self.keep(result.map(|()| kept)),
            }
        }
        let mut fresh = Connection::open(&self.settings).await?;
        let result = fresh.envelope(letter).await;
        self.keep(result.map(|()| fresh))
    }

    fn keep(&mut self, result: Result<Connection, Failure>) -> Result<(), Failure> {
        self.connection = Some(result?);
        Ok(())
    }

    /// Sends the message that was prepared, and returns the server's answer.
    pub async fn deliver(&mut self, letter: &Letter) -> Result<String, Failure> {
        let Some(mut connection) = self.connection.take() else {
            return Err(Failure::network(Phase::Data, "the connection is gone"));
        };
        let reply = connection.message(letter).await?;
        self.connection = Some(connection);
        Ok(reply)
    }

    /// Drops the connection, in whatever state it is.
    pub fn abandon(&mut self) {
        self.connection = None;
    }

    /// Ends an idle connection.
    pub async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.quit().await;
        }
    }
}

/// A kept connection that the server has closed meanwhile, perhaps with a 421: not the mail's fault.
fn is_stale(failure: &Failure) -> bool {
    let is_closed = match &failure.cause {
        Cause::Reply(reply) => reply.code == 421,
        cause => matches!(cause, Cause::Network(_)),
    };
    failure.phase == Phase::Mail && is_closed
}

#[cfg(test)]
mod encryption;
#[cfg(test)]
mod tests;
