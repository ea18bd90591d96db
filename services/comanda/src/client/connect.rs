//! Where the servers are, as flags.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use comanda_client::{Address, Config, Credentials, Role};
use comanda_kit::secret::Secret;

use crate::failure::Failure;

/// The variable that holds a token. There is no flag for it: everyone on the machine can read a command line.
const TOKEN: &str = "COMANDA_TOKEN";

/// Who calls.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Access")]
pub struct TokenArgs {
    /// A file with the API key or token that is shown to the servers. It is read again, so that a watch goes on when another token was put
    /// there. The variable COMANDA_TOKEN may hold the token itself.
    #[arg(long, value_name = "FILE", env = "COMANDA_TOKEN_FILE", global = true)]
    token_file: Option<PathBuf>,
}

impl TokenArgs {
    /// As the client takes them.
    pub fn credentials(&self) -> Result<Credentials, Failure> {
        let credentials = match (&self.token_file, Secret::from_environment(TOKEN)) {
            (Some(path), _) => Credentials::file(path),
            (None, Some(token)) => Credentials::token(token.reveal()),
            (None, None) => Ok(Credentials::none()),
        };
        credentials.map_err(|error| Failure::refused(error.message))
    }
}

use super::trust::Trust;

/// Where the servers are and how long to wait for an answer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub struct Servers {
    /// One address for every role (`comanda dev`, `comanda all`); overrides those below.
    #[arg(long, value_name = "ADDR", env = "COMANDA_ADDR", global = true)]
    addr: Option<Address>,
    /// Where the role "ordering" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_ORDERING_ADDR",
        default_value = "http://127.0.0.1:50051",
        global = true
    )]
    ordering_addr: Address,
    /// Where the role "state-machine" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_STATE_MACHINE_ADDR",
        default_value = "http://127.0.0.1:50052",
        global = true
    )]
    state_machine_addr: Address,
    /// Where the role "notification" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_NOTIFICATION_ADDR",
        default_value = "http://127.0.0.1:50053",
        global = true
    )]
    notification_addr: Address,
    /// Where the role "dispatch" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_DISPATCH_ADDR",
        default_value = "http://127.0.0.1:50054",
        global = true
    )]
    dispatch_addr: Address,
    /// Where the role "analytics" listens.
    #[arg(
        long,
        value_name = "ADDR",
        env = "COMANDA_ANALYTICS_ADDR",
        default_value = "http://127.0.0.1:50055",
        global = true
    )]
    analytics_addr: Address,
    /// The time for each call, in milliseconds, with its repetitions. Watches have none.
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..=3_600_000),
        global = true
    )]
    timeout_ms: u64,
    // Last: its heading applies to every flag after it.
    #[command(flatten)]
    trust: Trust,
}

impl Servers {
    /// As the client takes it.
    pub fn config(&self) -> Config {
        let of = |address: &Address| self.addr.as_ref().unwrap_or(address).clone();
        Config {
            state_machine: of(&self.state_machine_addr),
            notification: of(&self.notification_addr),
            dispatch: of(&self.dispatch_addr),
            analytics: of(&self.analytics_addr),
            deadline: Duration::from_millis(self.timeout_ms),
            tls: self.trust.tls(),
            ..Config::at(of(&self.ordering_addr))
        }
    }

    /// Whom to trust, and what to show.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Every role's address, each once.
    pub fn addresses(&self) -> Vec<Address> {
        let config = self.config();
        let mut all = Vec::new();
        for address in Role::ALL.map(|role| config.address(role)) {
            if !all.contains(address) {
                all.push(address.clone());
            }
        }
        all
    }
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        servers: Servers,
    }

    /// As a command line with these flags.
    pub fn servers(args: &[&str]) -> Servers {
        Cli::parse_from([&["comanda"], args].concat()).servers
    }

    fn addresses(args: &[&str]) -> [String; 5] {
        let config = servers(args).config();
        Role::ALL.map(|role| config.address(role).to_string())
    }

    #[test]
    fn each_role_has_an_address_of_its_own() {
        let default = [50051, 50052, 50053, 50054, 50055].map(|port| format!("http://127.0.0.1:{port}"));
        assert_eq!(addresses(&[]), default);
        for (index, role) in Role::ALL.iter().enumerate() {
            let mut expected = default.clone();
            expected[index] = "http://other:1".into();
            assert_eq!(addresses(&[&format!("--{}-addr", role.name()), "other:1"]), expected);
        }
        assert_eq!(servers(&[]).addresses().len(), 5);
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let parsed = Cli::try_parse_from(["comanda", "--client-cert", "a.crt"]);
        assert!(parsed.is_err_and(|error| error.to_string().contains("--client-key")));
        let both = servers(&["--ca", "ca.crt", "--client-cert", "a.crt", "--client-key", "a.key"]).config().tls;
        assert!(both.ca.is_some() && both.identity.is_some() && both.server_name.is_none());
    }

    #[test]
    fn one_address_for_all_overrides_the_others() {
        assert_eq!(addresses(&["--addr", "all:1", "--ordering-addr", "o:1"]), ["http://all:1"; 5]);
        assert_eq!(servers(&["--addr", "all:1"]).addresses().len(), 1);
    }
}
