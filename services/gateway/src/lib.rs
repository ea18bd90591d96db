//! The gateway: HTTP for Comanda. It translates and does nothing else: it holds no state and no rule, reads no database and no topic, and any
//! number of it may run.
//!
//! [`table`] lists the routes. A request of HTTP becomes one of an rpc in [`request`], [`call`] sends it, [`json`] and [`problem`] write what
//! comes back. [`sse`] does the same for streams, [`rpc`] for Connect and gRPC-Web, [`seed`] for the two routes of the first description
//! of this system. [`guard`] keeps pages of other origins out.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use axum::http::HeaderValue;
use clap::Args;
use comanda_client::Client;
use comanda_kit::{
    access::config::{Door, Mode},
    server::{Listener, bind},
    shutdown::Tasks,
    tls::Tls,
};
use tracing::info;

use crate::{
    call::Servers,
    guard::Guard,
    limits::Places,
    rest::Context,
    schema::Schema,
    seed::{Defaults, Seed},
};

pub mod call;
pub mod check;
pub mod codec;
pub mod fields;
pub mod guard;
pub mod headers;
pub mod json;
pub mod limits;
#[cfg(test)]
mod openapi;
pub mod pages;
pub mod problem;
pub mod query;
pub mod request;
pub mod rest;
pub mod routes;
pub mod rpc;
pub mod schema;
pub mod seed;
pub mod server;
pub mod socket;
pub mod sse;
pub mod table;
pub mod track;

/// Settings of the gateway.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Where HTTP listens.
    #[arg(long, env = "COMANDA_HTTP_LISTEN", default_value = "127.0.0.1:8080")]
    pub http_listen: SocketAddr,
    /// Names under which the gateway is reached, besides localhost and IP addresses, separated by commas: a request for another name is
    /// refused, since a page of a foreign site could have sent it.
    #[arg(long, env = "COMANDA_HTTP_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub http_host: Vec<String>,
    /// Origins whose pages may call the API, each with its scheme and without a path, separated by commas [default: none].
    #[arg(long, env = "COMANDA_CORS_ORIGINS", value_name = "ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub cors_origin: Vec<HeaderValue>,
    /// Connections that may be open at once; further ones wait to be accepted.
    #[arg(long, env = "COMANDA_HTTP_MAX_CONNECTIONS", default_value_t = 4096)]
    pub http_max_connections: usize,
    /// Calls that may be in progress at once; further ones are answered 429.
    #[arg(long, env = "COMANDA_HTTP_MAX_CALLS", default_value_t = 1024)]
    pub http_max_calls: usize,
    /// Streams of events that may be open at once; a further one is refused, and may be tried again.
    #[arg(long, env = "COMANDA_HTTP_MAX_STREAMS", default_value_t = 2048)]
    pub http_max_streams: usize,
    /// What orders have that POST /new_order makes.
    #[command(flatten)]
    pub new_order: Defaults,
}

/// An origin as browsers write it: a scheme, a host, and a port where it is not the usual one.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || "must be an origin such as https://shop.example, with nothing behind the host and port".to_owned();
    let url = url::Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin();
    if !origin.is_tuple() || origin.ascii_serialization() != text.trim_end_matches('/') {
        return Err(wrong());
    }
    HeaderValue::try_from(origin.ascii_serialization()).map_err(|_| wrong())
}

/// The gateway, not yet running.
pub struct App {
    config: Config,
    door: Door,
    listener: Listener,
    client: Client,
}

impl App {
    /// Listens. The servers behind it may come later; their deadline is that of each call. Where they require credentials, a request that
    /// shows none goes no further than here.
    pub fn build(config: &Config, door: Door, servers: comanda_client::Config) -> Result<Self> {
        let listener = bind(config.http_listen).context("the gateway needs an address of its own: --http-listen")?;
        Ok(Self { config: config.clone(), door, listener, client: Client::new(servers) })
    }

    /// Encrypts its connections, if there is something to do it with.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { listener: self.listener.with_tls(tls), ..self }
    }

    /// Serves until the stop.
    pub fn start(self, tasks: &Tasks) -> Result<SocketAddr> {
        let Self { config, door, listener, client } = self;
        let address = listener.address()?;
        let context = Arc::new(Context {
            schema: Schema::new(),
            deadline: client.config().deadline,
            servers: Servers::new(client, door.access),
            places: Places::new(config.http_max_calls, config.http_max_streams),
        });
        let seed = Seed { context: context.clone(), defaults: Arc::new(config.new_order) };
        let guard = Guard { hosts: config.http_host, origins: config.cors_origin };
        let router = routes::router(context, seed, guard, door.strangers(), &tasks.stop_token());
        let how = if listener.has_tls() { "with" } else { "without" };
        match door.access {
            Mode::Open => {
                info!("HTTP on {address}, {how} TLS, no access control: let only those reach it who may do everything")
            }
            Mode::Required => info!("HTTP on {address}, {how} TLS, for those who show credentials"),
        }
        server::serve(listener, router, config.http_max_connections, tasks);
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        for (text, taken) in [
            ("https://shop.example", "https://shop.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("https://shop.example/", "https://shop.example"),
        ] {
            assert_eq!(origin(text).expect(text), taken);
        }
        for wrong in ["*", "shop.example", "https://shop.example/x", "null", "file:///x", "https://shop.example:443"] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }
}
