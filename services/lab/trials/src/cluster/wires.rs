//! The links between the parts of a cluster.

use std::net::SocketAddr;

use anyhow::Result;

use super::endpoints::{Replica, Role};
use crate::proxy::Link;

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// From clients to a replica.
    Client,
    /// From a replica to Postgres.
    Postgres,
    /// From a replica to a broker.
    Kafka,
    /// From a replica to the mail server.
    Smtp,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Client, Self::Postgres, Self::Kafka, Self::Smtp];

    /// As in names of links and faults.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Smtp => "smtp",
        }
    }
}

/// A link of one replica.
#[derive(Debug)]
pub struct Wire {
    /// What it leads to.
    pub class: Class,
    /// Whose it is, such as `ordering-0`.
    pub replica: String,
    /// The link itself.
    pub link: Link,
}

/// Where the servers are that replicas connect to.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Postgres.
    pub postgres: SocketAddr,
    /// For each broker where it listens for this replica.
    pub brokers: Vec<SocketAddr>,
    /// The mail server.
    pub smtp: SocketAddr,
}

/// The links of one replica.
pub async fn wire(replica: &mut Replica, servers: &Servers, seed: u64) -> Result<Vec<Wire>> {
    let mut ends = vec![(Class::Client, replica.direct)];
    // A gateway calls the other roles alone, through their links.
    if replica.role != Role::Gateway {
        ends.push((Class::Postgres, servers.postgres));
        ends.extend(servers.brokers.iter().map(|broker| (Class::Kafka, *broker)));
    }
    if replica.role == Role::Notification {
        ends.push((Class::Smtp, servers.smtp));
    }
    let mut wires = Vec::new();
    for (n, (class, server)) in ends.into_iter().enumerate() {
        let name = match class {
            Class::Client => format!("client->{}", replica.name),
            Class::Kafka => format!("{}->kafka-{}", replica.name, n - 1),
            class => format!("{}->{}", replica.name, class.name()),
        };
        // Seeds of links differ by more than a link has connections.
        let link = Link::start(&name, server, seed.wrapping_add((n as u64) << 32)).await?;
        wires.push(Wire { class, replica: replica.name.clone(), link });
    }
    replica.address = wires[0].link.address;
    Ok(wires)
}
