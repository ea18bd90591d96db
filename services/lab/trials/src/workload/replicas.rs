//! Connections to every replica, of which each call and each stream takes one at random.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use comanda_proto::v1::{
    dispatch_service_client::DispatchServiceClient, lifecycle_service_client::LifecycleServiceClient,
    order_service_client::OrderServiceClient, watch_service_client::WatchServiceClient,
};
use rand::{rngs::StdRng, seq::IndexedRandom};
use tonic::{
    Request, Status,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::cluster::{Endpoints, Role, Tenant};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection whose other end is silent is given up after the sum of both.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A snapshot's orders may be larger than what the library takes by itself.
const RESPONSE_BYTES: usize = 16 * 1024 * 1024;

/// Every replica that serves gRPC, with some connections to each. They are made when they are needed, and made again when they break.
#[derive(Debug)]
pub(super) struct Replicas {
    replicas: Vec<Replica>,
    tenant: Tenant,
}

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
    /// For whom it is.
    pub(super) tenant: Tenant,
}

/// Shows the key of its tenant with each call.
#[derive(Clone, Debug)]
pub(super) struct Shows(Tenant);

impl Interceptor for Shows {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.0.show(request.metadata_mut());
        Ok(request)
    }
}

/// A connection on which a tenant's key is shown.
pub(super) type Line = InterceptedService<Channel, Shows>;

impl Replicas {
    /// So many connections to each replica, for a tenant.
    pub(super) fn new(endpoints: &Endpoints, tenant: Tenant, connections: usize) -> Result<Self> {
        for role in Role::NEEDED {
            ensure!(endpoints.of(role).next().is_some(), "the cluster has no {}; start at least one", role.name());
        }
        let servers = endpoints.replicas.iter().filter(|replica| replica.role != Role::Gateway);
        let replicas = servers.map(|replica| {
            let channels = (0..connections.max(1)).map(|_| channel(&replica.address.to_string()));
            Ok(Replica { name: replica.name.clone(), role: replica.role, channels: channels.collect::<Result<_>>()? })
        });
        Ok(Self { replicas: replicas.collect::<Result<_>>()?, tenant })
    }

    /// A random connection to a random replica of a role.
    pub(super) fn any(&self, role: Role, rng: &mut StdRng) -> Way {
        let replicas: Vec<_> = self.replicas.iter().filter(|replica| replica.role == role).collect();
        let replica = replicas.choose(rng).expect("each role has one");
        let channel = replica.channels.choose(rng).expect("each replica has one");
        Way { replica: replica.name.clone(), channel: channel.clone(), tenant: self.tenant.clone() }
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
    fn line(&self) -> Line {
        InterceptedService::new(self.channel.clone(), Shows(self.tenant.clone()))
    }

    pub(super) fn orders(&self) -> OrderServiceClient<Line> {
        OrderServiceClient::new(self.line()).max_decoding_message_size(RESPONSE_BYTES)
    }

    pub(super) fn lifecycle(&self) -> LifecycleServiceClient<Line> {
        LifecycleServiceClient::new(self.line()).max_decoding_message_size(RESPONSE_BYTES)
    }

    pub(super) fn dispatch(&self) -> DispatchServiceClient<Line> {
        DispatchServiceClient::new(self.line()).max_decoding_message_size(RESPONSE_BYTES)
    }

    pub(super) fn watches(&self) -> WatchServiceClient<Line> {
        WatchServiceClient::new(self.line()).max_decoding_message_size(RESPONSE_BYTES)
    }
}
