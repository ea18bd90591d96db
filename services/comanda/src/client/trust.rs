//! Whom a client trusts, and what it shows, as flags.

use std::path::PathBuf;

use clap::Args;
use comanda_client::tls::{Identity, Tls};

/// Encryption of connections to addresses with https://. The files are read again for each connection.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Encryption of calls")]
#[group(skip)]
pub struct Trust {
    /// A file with the CA of the servers' certificates, in PEM, for addresses with https:// [default: the CAs that browsers trust].
    #[arg(long, value_name = "FILE", env = "COMANDA_CA", global = true)]
    pub ca: Option<PathBuf>,
    /// The name that the servers' certificates must have [default: the host of the address].
    #[arg(long, value_name = "NAME", env = "COMANDA_SERVER_NAME", global = true)]
    pub server_name: Option<String>,
    /// A file with a certificate to show to servers that ask for one, in PEM.
    #[arg(long, value_name = "FILE", env = "COMANDA_CLIENT_CERT", requires = "client_key", global = true)]
    pub client_cert: Option<PathBuf>,
    /// The file of its private key, in PEM.
    #[arg(long, value_name = "FILE", env = "COMANDA_CLIENT_KEY", requires = "client_cert", global = true)]
    pub client_key: Option<PathBuf>,
}

impl Trust {
    /// As the client takes it.
    pub fn tls(&self) -> Tls {
        let files = self.client_cert.clone().zip(self.client_key.clone());
        Tls {
            ca: self.ca.clone(),
            identity: files.map(|(cert, key)| Identity { cert, key }),
            server_name: self.server_name.clone(),
        }
    }
}
