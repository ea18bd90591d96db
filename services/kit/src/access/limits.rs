//! What one tenant may take of a server, so that the others get theirs.

use std::{num::NonZeroU32, sync::Arc};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use metrics::counter;

use crate::{
    errors::{ApiError, RETRY_AFTER},
    shares::{Share, Shares},
};

/// From how many tenants on those are forgotten that call no more.
const MANY_TENANTS: usize = 1024;

/// The limits of each tenant. Clones share what is counted.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    rate: Option<Arc<DefaultKeyedRateLimiter<String>>>,
    streams: Option<Shares>,
}

impl Limits {
    /// Calls that each tenant may begin in a second, also all at once, and streams that it may have open; 0: any number.
    pub fn new(calls_per_second: u32, streams: usize) -> Self {
        let quota = NonZeroU32::new(calls_per_second).map(Quota::per_second);
        let rate = quota.map(|quota| Arc::new(RateLimiter::keyed(quota)));
        Self { rate, streams: (streams > 0).then(|| Shares::new(streams)) }
    }

    /// Counts a call.
    pub fn take_call(&self, tenant: &str) -> Result<(), ApiError> {
        let Some(rate) = &self.rate else { return Ok(()) };
        if rate.len() > MANY_TENANTS {
            rate.retain_recent();
        }
        rate.check_key(&tenant.to_owned()).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            refused("calls").retry_after(wait.max(RETRY_AFTER))
        })
    }

    /// Counts a stream for as long as its share lives.
    pub fn take_stream(&self, tenant: &str) -> Result<Option<Share>, ApiError> {
        let Some(streams) = &self.streams else { return Ok(None) };
        let share = streams.take(tenant, 1);
        share.map(Some).ok_or_else(|| refused("streams").retry_after(10 * RETRY_AFTER))
    }
}

fn refused(what: &'static str) -> ApiError {
    counter!("comanda_tenant_limits_total", "limit" => what).increment(1);
    ApiError::tenant_limit()
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::StatusExt;

    use super::*;

    fn is_refused<T>(result: Result<T, ApiError>) -> bool {
        result.is_err_and(|error| {
            let status = Status::from(error);
            status.code() == Code::ResourceExhausted && status.get_error_details().retry_info().is_some()
        })
    }

    #[test]
    fn a_tenant_over_its_limit_is_told_when_to_come_back_and_others_are_not_refused() {
        let limits = Limits::new(10, 1);
        let refused = (0..20).filter(|_| is_refused(limits.take_call("acme"))).count();
        // A slow test may be given some more meanwhile.
        assert!((1..=10).contains(&refused), "{refused}");
        assert!(limits.take_call("bravo").is_ok());
        let first = limits.take_stream("acme").expect("the first");
        assert!(is_refused(limits.take_stream("acme")) && limits.take_stream("bravo").is_ok());
        drop(first);
        assert!(limits.take_stream("acme").is_ok());
    }

    #[test]
    fn without_limits_nothing_is_refused_or_counted() {
        let limits = Limits::new(0, 0);
        assert!((0..10_000).all(|_| limits.take_call("acme").is_ok()));
        assert!((0..10).all(|_| limits.take_stream("acme").is_ok_and(|share| share.is_none())));
    }

    #[test]
    fn tenants_that_call_no_more_are_forgotten() {
        let limits = Limits::new(u32::MAX, 0);
        for n in 0..3 * MANY_TENANTS {
            limits.take_call(&n.to_string()).expect("no limit to speak of");
        }
        assert!(limits.rate.is_some_and(|rate| rate.len() <= MANY_TENANTS + 1));
    }
}
