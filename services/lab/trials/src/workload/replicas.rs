//! Connections to every replica, of which each call and each stream takes one at random.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comanda_proto::v1::{
    dispatch_service_client::DispatchServiceClient, lifecycle_service_client::LifecycleServiceClient,
    order_service_client::OrderServiceClient, watch_service_client::WatchServiceClient,
};
use rand::{rngs::StdRng, seq::IndexedRandom};
use tonic::transport::{Channel, Endpoint};

use crate::cluster::{Endpoints, Role};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection whose other end is silent is given up after the sum of both.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A snapshot's orders may be larger than what the library takes by itself.
const RESPONSE_BYTES: usize = 16 * 1024 * 1024;

/// Every replica that serves gRPC, with some connections to each. They are made when they are needed, and made again when they break.
#[derive(Debug)]
pub(super) struct Replicas(Vec<Replica>);

#[derive(Debug)]
struct Replica {
    name: String,
    role: Role,
    channels: Vec<Channel>,
}

/// One connection to one replica.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Of the replica, as in the history.
    pub(super) replica: String,
    pub(super) channel: Channel,
}

impl Replicas {
    /// So many connections to each replica.
    pub(super) fn new(endpoints: &Endpoints, connections: usize) -> Result<Self> {
        for role in Role::NEEDED {
            ensure!(endpoints.of(role).next().is_some(), "the cluster has no {}; start at least one", role.name());
        }
        let servers = endpoints.replicas.iter().filter(|replica| replica.role != Role::Gateway);
        let replicas = servers.map(|replica| {
            let channels = (0..connections.max(1)).map(|_| channel(&replica.address.to_string()));
            Ok(Replica { name: replica.name.clone(), role: replica.role, channels: channels.collect::<Result<_>>()? })
        });
        Ok(Self(replicas.collect::<Result<_>>()?))
    }

    /// A random connection to a random replica of a role.
    pub(super) fn any(&self, role: Role, rng: &mut StdRng) -> Way {
        let replicas: Vec<_> = self.0.iter().filter(|replica| replica.role == role).collect();
        let replica = replicas.choose(rng).expect("each role has one");
        let channel = replica.channels.choose(rng).expect("each replica has one");
        Way { replica: replica.name.clone(), channel: channel.clone() }
    }
}

fn channel(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).context("not an address of a replica")?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

impl Way {
    pub(super) fn orders(&self) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES)
    }

    pub(super) fn lifecycle(&self) -> LifecycleServiceClient<Channel> {
        LifecycleServiceClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES)
    }

    pub(super) fn dispatch(&self) -> DispatchServiceClient<Channel> {
        DispatchServiceClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES)
    }

    pub(super) fn watches(&self) -> WatchServiceClient<Channel> {
        WatchServiceClient::new(self.channel.clone()).max_decoding_message_size(RESPONSE_BYTES)
    }
}
