//! What the protos say: every method of the API, and the role that serves it.

use comanda_client::Role;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};

/// The services of the API and the roles that serve them.
const SERVED_BY: [(&str, Role); 6] = [
    ("comanda.v1.OrderService", Role::Ordering),
    ("comanda.v1.LifecycleService", Role::StateMachine),
    ("comanda.v1.WatchService", Role::Notification),
    ("comanda.v1.MailService", Role::Notification),
    ("comanda.v1.DispatchService", Role::Dispatch),
    ("comanda.v1.AnalyticsService", Role::Analytics),
];

/// The messages and services of the API.
#[derive(Clone, Debug)]
pub struct Schema {
    pool: DescriptorPool,
}

impl Schema {
    /// From the descriptors that this program was built with.
    pub fn new() -> Self {
        Self { pool: DescriptorPool::decode(comanda_proto::DESCRIPTORS).expect("the build made these descriptors") }
    }

    /// Every rpc of the API.
    pub fn methods(&self) -> Vec<MethodDescriptor> {
        let services = self.pool.services().filter(|service| service.package_name() == "comanda.v1");
        services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
    }

    /// An rpc by service and name: `OrderService/GetOrder`.
    pub fn method(&self, rpc: &str) -> Option<MethodDescriptor> {
        let (service, name) = rpc.split_once('/')?;
        let service = self.pool.get_service_by_name(&format!("comanda.v1.{service}"))?;
        service.methods().find(|method| method.name() == name)
    }

    /// A message by its full name.
    pub fn message(&self, name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(name)
    }

    /// The comments of the protos are in here.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self::new()
    }
}

/// The role that serves an rpc.
pub fn role_of(method: &MethodDescriptor) -> Role {
    let service = method.parent_service();
    let found = SERVED_BY.iter().find(|(name, _)| *name == service.full_name());
    found.expect("a test compares the list with the descriptors").1
}

/// The `:path` of an rpc: `/comanda.v1.OrderService/GetOrder`.
pub fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_served_by_a_role() {
        let methods = Schema::new().methods();
        assert!(methods.len() > 30);
        for method in methods {
            role_of(&method);
        }
    }

    #[test]
    fn a_method_is_found_by_its_name() {
        let method = Schema::new().method("OrderService/GetOrder").expect("there");
        assert_eq!(path_of(&method), "/comanda.v1.OrderService/GetOrder");
        assert!(Schema::new().method("OrderService/DropEverything").is_none());
    }
}
