//! Whether a server serves: grpc.health.v1.

use tokio::time::{Instant, timeout_at};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    address::Address,
    client::Client,
    error::{Error, root_cause},
};

impl Client {
    /// Asks the server at this address about one gRPC service (`comanda.v1.OrderService`), or with an empty name about the whole server.
    /// Nothing is repeated: who asks wants to know about this moment.
    pub async fn check_health(&self, address: &Address, service: &str) -> Result<ServingStatus, Error> {
        let deadline = Instant::now() + self.config().deadline;
        let connected = timeout_at(deadline, self.dial(address, address.endpoint()))
            .await
            .map_err(|_| unreachable("no answer in time"))?;
        let health = HealthClient::new(connected.map_err(|error| unreachable(&root_cause(&error)))?);
        let message = HealthCheckRequest { service: service.to_owned() };
        let send = |request| {
            let mut health = health.clone();
            async move { health.check(request).await }
        };
        Ok(self.attempt(message, send, deadline).await?.status())
    }
}

fn unreachable(cause: &str) -> Error {
    Error::unreachable(format!("cannot connect: {cause}"))
}
