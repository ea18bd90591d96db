//! The settings of access control, and what they must be where others than this machine can reach a server.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use tracing::warn;

use super::{
    admission::Access,
    authenticator::Authenticator,
    denials::Denials,
    key_cache::{Freshness, KeyCache},
    limits::Limits,
    oidc::{self, Oidc},
    scope::Scope,
    store,
    strangers::Strangers,
};
use crate::{postgres, shutdown::Tasks, tracking::Keys};

/// How many connections are opened for access control.
const CONNECTIONS: u32 = 2;

/// Which callers are admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every caller, as the owner of the tenant "default". Only for servers that no other machine can reach.
    #[default]
    Open,
    /// Callers that show an API key, a token of the OpenID provider, or for one order its tracking token.
    Required,
}

/// Whether credentials are needed.
#[derive(Args, Clone, Copy, Debug, Default)]
#[group(skip)]
pub struct Door {
    /// Which callers are admitted.
    #[arg(long, env = "COMANDA_ACCESS", value_enum, default_value_t = Mode::Open)]
    pub access: Mode,
    /// Calls of one address that may fail in a minute because they have no valid credentials; further ones are refused unchecked, unless their
    /// credentials were valid lately. 0: any number.
    #[arg(long, env = "COMANDA_ADDRESS_FAILURES_PER_MINUTE", value_name = "NUMBER", default_value_t = 600)]
    pub address_failures_per_minute: u32,
    /// Listen on addresses that others can reach although there is no TLS or no access control.
    #[arg(long, env = "COMANDA_INSECURE")]
    pub insecure: bool,
}

/// Settings of access control.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Whether credentials are needed.
    #[command(flatten)]
    pub door: Door,
    /// The OpenID provider.
    #[command(flatten)]
    pub oidc: oidc::Settings,
    /// The tenant of callers that show a client certificate and no other credentials: they have the role service there, under the first
    /// name of their certificate. Needs --client-ca [default: a certificate alone is not accepted].
    #[arg(long, env = "COMANDA_CLIENT_CERT_TENANT", value_name = "TENANT", value_parser = NonEmptyStringValueParser::new())]
    pub client_cert_tenant: Option<String>,
    /// Calls that each tenant may begin in a second at this server; 0: any number.
    #[arg(long, env = "COMANDA_TENANT_CALLS_PER_SECOND", value_name = "NUMBER", default_value_t = 0)]
    pub tenant_calls_per_second: u32,
    /// Watches and other streams that each tenant may have open at this server; 0: any number.
    #[arg(long, env = "COMANDA_TENANT_MAX_STREAMS", value_name = "NUMBER", default_value_t = 0)]
    pub tenant_max_streams: usize,
    /// How much of the queue of new orders one tenant may hold, in percent.
    #[arg(long, env = "COMANDA_TENANT_QUEUE_PERCENT", value_name = "NUMBER", default_value_t = 100,
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub tenant_queue_percent: u8,
    /// How often API keys are read again, in milliseconds: a revoked one is good no longer than that, and in open streams 20 s more.
    #[arg(long, env = "COMANDA_ACCESS_REFRESH_MS", default_value_t = 5000, hide = true,
          value_parser = clap::value_parser!(u64).range(1..=30_000))]
    pub access_refresh_ms: u64,
    /// For how long API keys are good as they were last seen while the database does not answer, in milliseconds.
    #[arg(long, env = "COMANDA_ACCESS_STALE_MS", default_value_t = 300_000)]
    pub access_stale_ms: u64,
}

impl Door {
    /// What counts the calls that fail.
    pub fn strangers(self) -> Strangers {
        Strangers::new(if self.access == Mode::Required { self.address_failures_per_minute } else { 0 })
    }

    /// Refuses addresses that others can reach, each given by a flag, unless there are TLS and access control.
    pub fn check(self, addresses: &[(&str, SocketAddr)], has_tls: bool) -> Result<()> {
        let Some((flag, address)) = addresses.iter().find(|(_, address)| !address.ip().is_loopback()) else {
            return Ok(());
        };
        let missing = missing(has_tls, self.access);
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join(", ");
        ensure!(
            self.insecure,
            "{flag} {address} can be reached from other machines, which needs {missing}. Give these settings, listen on 127.0.0.1, \
             or, where a network of your own keeps everyone else out, give --insecure (docs/access.md)"
        );
        warn!(
            "INSECURE: {flag} {address} can be reached from other machines without {missing}, since --insecure is given"
        );
        Ok(())
    }
}

fn missing(has_tls: bool, access: Mode) -> Vec<&'static str> {
    let tls = if has_tls { &[][..] } else { &["--tls-cert", "--tls-key"] };
    let access = if access == Mode::Required { &[][..] } else { &["--access required"] };
    [tls, access].concat()
}

impl Config {
    /// Starts what lets callers in: keys are read from the database of `postgres`.
    pub fn start(&self, postgres: &postgres::Config, tracking: Option<Arc<Keys>>, tasks: &Tasks) -> Result<Access> {
        let limits = Limits::new(self.tenant_calls_per_second, self.tenant_max_streams);
        if self.door.access == Mode::Open {
            ensure!(self.oidc.oidc_issuer.is_none(), "--oidc-issuer needs --access required");
            ensure!(self.client_cert_tenant.is_none(), "--client-cert-tenant needs --access required");
            return Ok(Access::everyone_is(Scope::built_in()).with_tracking(tracking).with_limits(limits));
        }
        let postgres = postgres::Config { database_connections: CONNECTIONS, ..postgres.clone() };
        let pool = postgres::pool(&postgres, store::SCHEMA)?;
        let (keys, denials) = (Arc::new(KeyCache::new(pool.clone(), self.freshness())), Arc::new(Denials::new(pool)));
        tasks.spawn("access keys", keys.clone().run(tasks.stop_token()));
        tasks.spawn("access audit", denials.clone().run(tasks.stop_token()));
        let oidc = Oidc::of(&self.oidc)?.map(Arc::new);
        if let Some(oidc) = &oidc {
            tasks.spawn("access provider", oidc.provider().run(tasks.stop_token()));
        }
        let authenticator = Authenticator::required(keys, oidc).with_tracking(tracking);
        let authenticator = authenticator.with_certificates(self.client_cert_tenant.as_deref());
        Ok(Access::new(authenticator).with_limits(limits).with_strangers(self.door.strangers()).with_denials(denials))
    }

    fn freshness(&self) -> Freshness {
        Freshness {
            interval: Duration::from_millis(self.access_refresh_ms),
            stale: Duration::from_millis(self.access_stale_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: Mode, insecure: bool, has_tls: bool, address: &str) -> Result<(), String> {
        let address = address.parse().expect("an address");
        let addresses = [("--listen", SocketAddr::from(([127, 0, 0, 1], 50051))), ("--http-listen", address)];
        Door { access, insecure, address_failures_per_minute: 0 }
            .check(&addresses, has_tls)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn loopback_needs_nothing() {
        for address in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
            assert_eq!(check(Mode::Open, false, false, address), Ok(()), "{address}");
        }
    }

    #[test]
    fn what_others_can_reach_needs_tls_and_access_control_and_all_that_is_missing_is_named() {
        for (access, has_tls, missing) in [
            (Mode::Open, false, "--tls-cert, --tls-key, --access required"),
            (Mode::Open, true, "--access required"),
            (Mode::Required, false, "--tls-cert, --tls-key"),
        ] {
            for address in ["0.0.0.0:50051", "[::]:50051", "10.0.0.7:50051"] {
                let refused = check(access, false, has_tls, address).expect_err("refused");
                assert!(refused.contains(&format!("which needs {missing}.")), "{refused}");
                assert!(refused.contains(&format!("--http-listen {address}")), "{refused}");
                assert_eq!(check(access, true, has_tls, address), Ok(()));
            }
        }
        assert_eq!(check(Mode::Required, false, true, "0.0.0.0:1"), Ok(()));
    }
}
