//! Replicas of services in the process of a test.

use std::net::SocketAddr;

use anyhow::Result;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::eventually;
use crate::{
    access::Access,
    server::{self, Endpoint, Listener},
    shutdown::Tasks,
};

/// A replica of a service, on a port of its own.
pub struct Replica {
    /// Where it listens.
    pub address: SocketAddr,
    tasks: Tasks,
}

impl Replica {
    /// Serves what was started with `tasks`, to the built-in caller.
    pub async fn serve(endpoint: Endpoint, tasks: Tasks) -> Result<Self> {
        Self::serve_to(Access::default(), vec![endpoint], tasks)
    }

    /// Serves what was started with `tasks` to a caller, for example of another tenant.
    pub fn serve_to(access: Access, endpoints: Vec<Endpoint>, tasks: Tasks) -> Result<Self> {
        Self::serve_with(access, &server::Limits::default(), endpoints, tasks)
    }

    /// The same, with limits of its own.
    pub fn serve_with(access: Access, limits: &server::Limits, endpoints: Vec<Endpoint>, tasks: Tasks) -> Result<Self> {
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        Self::serve_on(listener, access, limits, endpoints, tasks)
    }

    /// The same, on a listener that may encrypt.
    pub fn serve_on(
        listener: Listener,
        access: Access,
        limits: &server::Limits,
        endpoints: Vec<Endpoint>,
        tasks: Tasks,
    ) -> Result<Self> {
        let address = listener.address()?;
        server::serve(listener, endpoints, limits, access, &tasks)?;
        Ok(Self { address, tasks })
    }

    /// A new connection to it.
    pub async fn connect(&self) -> Result<Channel> {
        Ok(Channel::from_shared(format!("http://{}", self.address))?.connect().await?)
    }

    /// Waits until it says that it serves a gRPC service.
    pub async fn serves(&self, service: &str) {
        eventually("the service serves", || async {
            let mut health = HealthClient::new(self.connect().await.ok()?);
            let check = HealthCheckRequest { service: service.into() };
            (health.check(check).await.ok()?.into_inner().status() == ServingStatus::Serving).then_some(())
        })
        .await;
    }

    /// Stops it as SIGTERM would, and waits until it has. Fails if one of its tasks did.
    pub async fn stop(self) -> Result<()> {
        self.tasks.stop_token().cancel();
        self.tasks.run().await
    }
}
