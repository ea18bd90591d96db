//! `comanda demo`: orders or rides on their way, live, in a `comanda dev` that then stays.

mod orders;
#[cfg(feature = "load")]
mod rides;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::DevArgs;

/// `comanda demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Show a small city: couriers come online, rides are asked for, allotted, picked up and ended.
    #[cfg(feature = "load")]
    #[arg(long)]
    rides: bool,
    /// The settings of `dev`.
    #[command(flatten)]
    pub dev: DevArgs,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Orders of a menu.
    Orders,
    /// Rides in a small city.
    #[cfg(feature = "load")]
    Rides,
}

impl DemoArgs {
    /// What is to be shown.
    pub fn show(&self) -> Show {
        #[cfg(feature = "load")]
        if self.rides {
            return Show::Rides;
        }
        Show::Orders
    }
}

impl Show {
    /// How long a status lasts unless the caller says otherwise, in milliseconds. Rides have timers of another kind: for how long a driver is
    /// looked for.
    pub fn step_ms(self) -> Option<u64> {
        (self == Self::Orders).then_some(orders::STEP_MS)
    }

    /// Shows it, and then what to try next.
    pub async fn run(
        self,
        address: SocketAddr,
        data_dir: &Path,
        mail_dir: Option<&Path>,
        stop: &CancellationToken,
    ) -> Result<()> {
        if !serves(address, stop).await? {
            return Ok(());
        }
        match self {
            Self::Orders => orders::run(address, data_dir, mail_dir, stop).await,
            #[cfg(feature = "load")]
            Self::Rides => rides::run(address, stop).await,
        }
    }
}

/// Waits until every role serves; false when told to stop before.
async fn serves(address: SocketAddr, stop: &CancellationToken) -> Result<bool> {
    let channel =
        Endpoint::new(format!("http://{address}"))?.connect_timeout(Duration::from_secs(10)).connect().await?;
    let mut health = HealthClient::new(channel).watch(HealthCheckRequest::default()).await?.into_inner();
    loop {
        let answer = tokio::select! {
            answer = health.message() => answer?.context("the server went away")?,
            () = stop.cancelled() => return Ok(false),
        };
        if answer.status() == ServingStatus::Serving {
            return Ok(true);
        }
    }
}
