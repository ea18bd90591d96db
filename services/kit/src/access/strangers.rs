//! How many calls of one address may fail in a minute for want of valid credentials; further ones are refused unchecked. Credentials that were
//! valid lately are still admitted, so that a caller is not shut out by another one at the same address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::counter;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::errors::ApiError;

const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are told apart; those that come later share one count.
const MOST_ADDRESSES: usize = 10_000;
/// How many good credentials are remembered, and for how long.
const MOST_GOOD: usize = 10_000;
const GOOD: Duration = Duration::from_secs(600);

/// Where a call comes from: the other end of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(pub IpAddr);

/// Counts what fails. Clones share it.
#[derive(Clone, Debug)]
pub struct Strangers {
    most: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    windows: HashMap<IpAddr, Window>,
    good: HashMap<[u8; 32], Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    failures: u32,
}

impl Strangers {
    /// So many calls of an address may fail in a minute; 0: any number.
    pub fn new(most: u32) -> Self {
        Self { most, state: Arc::default() }
    }

    /// Refuses a call of an address of which too many have failed, unless its credentials were good lately.
    pub fn admit(&self, address: Option<Address>, credentials: Option<&[u8]>) -> Result<(), ApiError> {
        let Some(address) = address.filter(|_| self.most > 0) else { return Ok(()) };
        let state = self.state();
        let Some(window) = state.windows.get(&network(address)).filter(|window| window.began.elapsed() < WINDOW) else {
            return Ok(());
        };
        if window.failures < self.most || credentials.is_some_and(|shown| state.is_good(shown)) {
            return Ok(());
        }
        counter!("comanda_refused_calls_total", "reason" => "address").increment(1);
        Err(ApiError::overloaded().retry_after(WINDOW - window.began.elapsed()))
    }

    /// Notes that a call has failed for want of good credentials.
    pub fn failed(&self, address: Option<Address>) {
        let Some(address) = address.filter(|_| self.most > 0) else { return };
        let mut state = self.state();
        let network = state.room_for(network(address));
        let (now, fresh) = (Instant::now(), Window { began: Instant::now(), failures: 0 });
        let window = state.windows.entry(network).or_insert(fresh);
        if now - window.began >= WINDOW {
            *window = fresh;
        }
        window.failures = window.failures.saturating_add(1);
    }

    /// Notes that credentials are good.
    pub fn passed(&self, credentials: Option<&[u8]>) {
        let Some(shown) = credentials.filter(|_| self.most > 0) else { return };
        let mut state = self.state();
        if state.good.len() >= MOST_GOOD {
            state.good.retain(|_, seen| seen.elapsed() < GOOD);
        }
        if state.good.len() < MOST_GOOD {
            state.good.insert(Sha256::digest(shown).into(), Instant::now());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_good(&self, shown: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(shown).into();
        self.good.get(&hash).is_some_and(|seen| seen.elapsed() < GOOD)
    }

    /// The address itself, or where there are very many, the one that stands for all others.
    fn room_for(&mut self, address: IpAddr) -> IpAddr {
        if self.windows.len() >= MOST_ADDRESSES && !self.windows.contains_key(&address) {
            self.windows.retain(|_, window| window.began.elapsed() < WINDOW);
        }
        let has_room = self.windows.len() < MOST_ADDRESSES || self.windows.contains_key(&address);
        if has_room { address } else { Ipv6Addr::UNSPECIFIED.into() }
    }
}

/// Of IPv6 the network: one customer usually has all 2^64 addresses of it.
fn network(Address(address): Address) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;

    fn at(address: &str) -> Option<Address> {
        Some(Address(address.parse().expect("an address")))
    }

    fn is_refused(strangers: &Strangers, address: &str, credentials: Option<&[u8]>) -> bool {
        strangers
            .admit(at(address), credentials)
            .is_err_and(|error| Status::from(error).code() == Code::ResourceExhausted)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_of_which_too_much_fails_is_refused_for_the_rest_of_a_minute_and_no_other_one_is() {
        let strangers = Strangers::new(3);
        for _ in 0..3 {
            assert!(!is_refused(&strangers, "10.0.0.1", None));
            strangers.failed(at("10.0.0.1"));
        }
        assert!(
            is_refused(&strangers, "10.0.0.1", Some(b"a guess")) && is_refused(&strangers, "::ffff:10.0.0.1", None)
        );
        assert!(!is_refused(&strangers, "10.0.0.2", None));
        assert!(strangers.admit(None, None).is_ok());
        tokio::time::advance(WINDOW).await;
        assert!(!is_refused(&strangers, "10.0.0.1", None));
        strangers.failed(at("10.0.0.1"));
        assert!(!is_refused(&strangers, "10.0.0.1", None), "a new minute has a new count");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_let_in_lately_is_not_shut_out_by_others_at_the_same_address() {
        let strangers = Strangers::new(1);
        strangers.passed(Some(b"good"));
        strangers.failed(at("10.0.0.1"));
        assert!(!is_refused(&strangers, "10.0.0.1", Some(b"good")));
        assert!(is_refused(&strangers, "10.0.0.1", Some(b"bad")) && is_refused(&strangers, "10.0.0.1", None));
        tokio::time::advance(GOOD).await;
        strangers.failed(at("10.0.0.1"));
        assert!(is_refused(&strangers, "10.0.0.1", Some(b"good")));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let strangers = Strangers::new(1);
        strangers.failed(at("2001:db8:1:2::3"));
        assert!(
            is_refused(&strangers, "2001:db8:1:2:ffff::", None) && !is_refused(&strangers, "2001:db8:1:3::3", None)
        );
    }

    #[test]
    fn what_is_counted_takes_bounded_room() {
        let strangers = Strangers::new(1);
        for n in 0..MOST_ADDRESSES as u32 + 10 {
            strangers.failed(Some(Address(IpAddr::V4(n.into()))));
            strangers.passed(Some(&n.to_be_bytes()));
        }
        let state = strangers.state();
        assert!(state.windows.len() <= MOST_ADDRESSES + 1 && state.good.len() <= MOST_GOOD);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let strangers = Strangers::new(0);
        (0..1000).for_each(|_| strangers.failed(at("10.0.0.1")));
        assert!(!is_refused(&strangers, "10.0.0.1", None) && strangers.state().windows.is_empty());
    }
}
