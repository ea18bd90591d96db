//! Every call of the API: what its requests look like when they are nearly right.

mod couriers;
mod lifecycle;
mod mails;
mod orders;
mod reports;
mod values;
mod watches;

use std::sync::LazyLock;

use prost::Message;
use rand::rngs::StdRng;

pub const ORDERS: &str = "comanda.v1.OrderService";
pub const LIFECYCLE: &str = "comanda.v1.LifecycleService";
pub const WATCHES: &str = "comanda.v1.WatchService";
pub const MAILS: &str = "comanda.v1.MailService";
pub const DISPATCH: &str = "comanda.v1.DispatchService";
pub const ANALYTICS: &str = "comanda.v1.AnalyticsService";
/// All of them.
pub const SERVICES: [&str; 6] = [ORDERS, LIFECYCLE, WATCHES, MAILS, DISPATCH, ANALYTICS];

/// What a request may hold, by the contract of the services: of the service of orders, and of the others.
pub const ORDER_REQUEST_BYTES: usize = 256 * 1024;
const REQUEST_BYTES: usize = 64 * 1024;

/// One call.
#[derive(Clone, Copy)]
pub struct Method {
    pub service: &'static str,
    pub path: &'static str,
    /// Whether bytes are a request of it.
    pub is_request: fn(&[u8]) -> bool,
    /// A request that may be right.
    pub request: fn(&mut StdRng) -> Vec<u8>,
}

impl Method {
    /// What a request of it may hold.
    pub fn most_bytes(&self) -> usize {
        if self.service == ORDERS { ORDER_REQUEST_BYTES } else { REQUEST_BYTES }
    }
}

/// All calls.
pub static METHODS: LazyLock<Vec<Method>> = LazyLock::new(|| {
    let core = orders::METHODS.into_iter().chain(lifecycle::METHODS).chain(watches::METHODS).chain(mails::METHODS);
    core.chain(couriers::METHODS).chain(reports::METHODS).collect()
});

const fn method<M: Message + Default>(
    service: &'static str,
    path: &'static str,
    request: fn(&mut StdRng) -> Vec<u8>,
) -> Method {
    Method { service, path, is_request: |bytes| M::decode(bytes).is_ok(), request }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_rpc_is_called() {
        let rpcs =
            comanda_proto::access::TABLE.iter().map(|rule| rule.path).filter(|path| path.starts_with("/comanda."));
        let missing: Vec<_> = rpcs.filter(|path| METHODS.iter().all(|method| method.path != *path)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn each_request_is_one_of_its_method() {
        let mut rng = StdRng::seed_from_u64(1);
        for method in METHODS.iter() {
            assert!((0..100).all(|_| (method.is_request)(&(method.request)(&mut rng))), "{}", method.path);
        }
    }
}
