//! Where the parts of a cluster are reached.

use std::{fmt, net::SocketAddr};

use tonic::metadata::MetadataMap;

/// A role of the system; each runs as one or more processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes orders.
    Ordering,
    /// Moves them.
    StateMachine,
    /// Tells watchers and writes mails.
    Notification,
    /// Finds couriers.
    Dispatch,
    /// Counts.
    Analytics,
    /// Speaks HTTP for the others, and keeps nothing.
    Gateway,
}

impl Role {
    /// Those that serve gRPC and keep what they do in Postgres, in the order of an order's way.
    pub const SERVERS: [Self; 5] =
        [Self::Ordering, Self::StateMachine, Self::Notification, Self::Dispatch, Self::Analytics];
    /// Those without which no order is delivered.
    pub const NEEDED: [Self; 3] = [Self::Ordering, Self::StateMachine, Self::Notification];

    /// As the program calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordering => "ordering",
            Self::StateMachine => "state-machine",
            Self::Notification => "notification",
            Self::Dispatch => "dispatch",
            Self::Analytics => "analytics",
            Self::Gateway => "gateway",
        }
    }
}

/// One process of a role. Its addresses stay the same when it is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Such as `ordering-0`, as in the history.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Where clients reach it: through the proxy, so that it may be slow, silent or cut.
    pub address: SocketAddr,
    /// Where it listens itself, for questions that no fault may disturb (health).
    pub direct: SocketAddr,
    /// Where it serves its metrics, as Prometheus reads them, under `/metrics`; no fault disturbs this.
    pub admin: SocketAddr,
}

/// Whose data clients may reach.
#[derive(Clone, PartialEq, Eq)]
pub struct Tenant {
    /// As in the history.
    pub name: String,
    /// Its owner's key; none where no server asks for one.
    pub key: Option<String>,
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tenant({})", self.name)
    }
}

/// Tenants by their number. The first is the one that there is where servers ask for no key.
const TENANTS: [&str; 4] = ["default", "acme", "bravo", "carmen"];

impl Tenant {
    /// So many, without keys.
    pub fn some(tenants: usize) -> Vec<Self> {
        TENANTS.iter().take(tenants.max(1)).map(|name| Self { name: (*name).to_owned(), key: None }).collect()
    }

    /// A call in its name.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        self.show(request.metadata_mut());
        request
    }

    /// Shows its key with a call.
    pub fn show(&self, metadata: &mut MetadataMap) {
        if let Some(key) = &self.key {
            let bearer = format!("Bearer {key}").parse().expect("keys are letters and digits");
            metadata.insert("authorization", bearer);
        }
    }
}

/// What clients, and the dump at the end of a run, need to know of a cluster.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// All processes of all roles.
    pub replicas: Vec<Replica>,
    /// Whose data there is.
    pub tenants: Vec<Tenant>,
    /// The database itself, past the proxy.
    pub database_url: String,
    /// Kafka itself, past the proxy.
    pub kafka_bootstrap_servers: String,
    /// Before the name of each topic.
    pub topic_prefix: String,
}

impl Endpoints {
    /// Whether there are processes of a role.
    pub fn has(&self, role: Role) -> bool {
        self.of(role).next().is_some()
    }

    /// The processes of one role.
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(move |replica| replica.role == role)
    }
}
