//! What is attacked.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::methods::{METHODS, Method, SERVICES};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A replica: one role, or several on one port.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// The services that it serves.
    pub services: Vec<&'static str>,
}

impl Target {
    /// Asks a replica what it serves.
    pub async fn ask(address: SocketAddr) -> Result<Self> {
        let mut target = Self { address, services: Vec::new() };
        for service in SERVICES {
            let mut health = HealthClient::new(target.channel());
            let answer = health.check(HealthCheckRequest { service: service.into() }).await;
            if answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
                target.services.push(service);
            }
        }
        ensure!(!target.services.is_empty(), "nothing is served at {address}; start a role of Comanda there first");
        Ok(target)
    }

    /// A connection of its own, made when it is needed and made again when it breaks.
    pub fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        endpoint.expect("an address makes a valid URL").connect_timeout(CONNECT_TIMEOUT).connect_lazy()
    }

    /// The calls that it serves.
    pub fn methods(&self) -> Vec<&'static Method> {
        METHODS.iter().filter(|method| self.services.contains(&method.service)).collect()
    }

    /// The path of some call that it serves.
    pub fn path(&self) -> &'static str {
        self.methods()[0].path
    }
}
