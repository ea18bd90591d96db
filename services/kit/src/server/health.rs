//! Health (grpc.health.v1) that follows what the roles say of themselves.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::info;

/// The services of a role, and whether it can do its work.
pub type Role = (Vec<&'static str>, watch::Receiver<bool>);

/// Keeps health true: each service serves when its role is ready, the process ("") when all are; nothing serves after the stop.
/// `reported` is notified as soon as health is true for the first time.
pub async fn report(
    health: HealthReporter,
    mut roles: Vec<Role>,
    reported: Arc<Notify>,
    stop: CancellationToken,
) -> Result<()> {
    loop {
        let mut all = !stop.is_cancelled();
        for (services, ready) in &mut roles {
            let serves = *ready.borrow_and_update() && !stop.is_cancelled();
            all &= serves;
            for service in services.iter() {
                health.set_service_status(*service, status(serves)).await;
            }
        }
        health.set_service_status("", status(all)).await;
        reported.notify_one();
        info!(serving = all, "health");
        if stop.is_cancelled() {
            return Ok(());
        }
        let changes = roles.iter_mut().map(|(_, ready)| {
            Box::pin(async {
                while ready.changed().await.is_err() {
                    std::future::pending::<()>().await
                }
            })
        });
        tokio::select! {
            _ = futures::future::select_all(changes) => {}
            () = stop.cancelled() => {}
        }
    }
}

fn status(serves: bool) -> ServingStatus {
    if serves { ServingStatus::Serving } else { ServingStatus::NotServing }
}
