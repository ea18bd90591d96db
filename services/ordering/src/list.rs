//! Lists of orders: what is asked for, checked, and how far one call goes.

use comanda_kit::{
    errors::{ApiError, Violations},
    page,
};
use comanda_proto::{
    v1::{ListOrdersRequest, ListOrdersResponse, Phase},
    views::{OrderRow, offset_date_time},
};
use prost::Message;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{Store, Window};

/// How many orders one call looks at.
const MAX_WALK: usize = 10_000;
/// How many it fetches at a time, at most.
const STRIDE: i64 = 500;
/// Where a page is cut.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// A list that was asked for properly.
#[derive(Debug)]
pub struct List {
    filter: ListOrdersRequest,
    window: Window,
    page_size: usize,
}

impl List {
    /// Checks a request.
    pub fn parse(mut request: ListOrdersRequest) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let page_size = page::size(&mut violations, std::mem::take(&mut request.page_size), 50, 500) as usize;
        let page_token = std::mem::take(&mut request.page_token);
        violations.require(request.statuses.len() <= 20, "statuses", "must be at most 20");
        for (index, status) in request.statuses.iter().take(20).enumerate() {
            violations.text(format!("statuses[{index}]"), status, 1, 63);
        }
        for (index, phase) in request.phases.iter().enumerate().take(20) {
            let known = Phase::try_from(*phase).is_ok_and(|phase| phase != Phase::Unspecified);
            violations.require(known, format!("phases[{index}]"), "must be a known phase");
        }
        violations.text("customer_id", &request.customer_id, 0, 64);
        violations.text("workflow", &request.workflow, 0, 63);
        let created_from = time(&request.created_from, "created_from", &mut violations);
        let created_before = time(&request.created_before, "created_before", &mut violations);
        violations.check()?;
        let after = page::position(&request, &page_token)?.map(|position| decode(&position)).transpose()?;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (customer_id, workflow) = (some(&request.customer_id), some(&request.workflow));
        let window = Window { customer_id, workflow, created_from, created_before, after };
        Ok(Self { filter: request, window, page_size })
    }

    /// Walks from newest to oldest until the page is full, the list ends or enough was looked at.
    pub async fn page(mut self, store: &Store, tenant: &str) -> Result<ListOrdersResponse, ApiError> {
        // Where statuses are asked for, most rows may not match: they are walked over in long strides.
        let narrowed = !self.filter.statuses.is_empty() || !self.filter.phases.is_empty();
        let stride = if narrowed { STRIDE } else { STRIDE.min(self.page_size as i64 + 1) };
        let (mut response, mut walked, mut bytes) = (ListOrdersResponse::default(), 0, 0);
        while walked < MAX_WALK {
            let rows = store.list(tenant, &self.window, stride).await?;
            if rows.is_empty() {
                return Ok(response);
            }
            for row in rows {
                let position = (row.create_time, row.order_id);
                if self.matches(&row) {
                    let order = row.into_order().map_err(comanda_kit::postgres::StoreError::from)?;
                    bytes += order.encoded_len();
                    if response.orders.len() == self.page_size || bytes > MAX_PAGE_BYTES && !response.orders.is_empty()
                    {
                        response.next_page_token = self.token();
                        return Ok(response);
                    }
                    response.orders.push(order);
                }
                walked += 1;
                self.window.after = Some(position);
            }
        }
        response.next_page_token = self.token();
        Ok(response)
    }

    fn matches(&self, row: &OrderRow) -> bool {
        let Self { filter, .. } = self;
        (filter.statuses.is_empty() || filter.statuses.contains(&row.status))
            && (filter.phases.is_empty() || filter.phases.contains(&row.phase.into()))
    }

    /// Continues after the last order that was walked over.
    fn token(&self) -> String {
        self.window.after.map(|position| page::token(&self.filter, &encode(position))).unwrap_or_default()
    }
}

fn time(time: &Option<prost_types::Timestamp>, field: &str, violations: &mut Violations) -> Option<OffsetDateTime> {
    let time = time.as_ref()?;
    let parsed = offset_date_time(time).filter(is_storable);
    violations.require(parsed.is_some(), field, "must be a time between the years 0 and 9999");
    parsed
}

/// Postgres's times begin in the year -4712; those of a token or a filter need not go back so far.
fn is_storable(time: &OffsetDateTime) -> bool {
    (0..=9999).contains(&time.year())
}

fn encode((create_time, order_id): (OffsetDateTime, Uuid)) -> Vec<u8> {
    // Postgres keeps microseconds.
    let micros = (create_time.unix_timestamp_nanos() / 1000) as i64;
    [micros.to_be_bytes().as_slice(), order_id.as_bytes()].concat()
}

fn decode(position: &[u8]) -> Result<(OffsetDateTime, Uuid), ApiError> {
    let (micros, order_id) = position.split_first_chunk::<8>().ok_or_else(page::bad_token)?;
    let nanos = i128::from(i64::from_be_bytes(*micros)) * 1000;
    let create_time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().filter(is_storable);
    let create_time = create_time.ok_or_else(page::bad_token)?;
    Ok((create_time, Uuid::from_slice(order_id).map_err(|_| page::bad_token())?))
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::wrong_fields;
    use proptest::prelude::*;

    use super::*;

    /// Filters, tokens of theirs and of others, and what nobody would ask for.
    fn request() -> impl Strategy<Value = ListOrdersRequest> {
        let time = || {
            prop::option::of(
                (any::<i64>(), any::<i32>())
                    .prop_map(|(seconds, nanos)| prost_types::Timestamp { seconds: seconds >> 25, nanos }),
            )
        };
        let text = || prop_oneof![9 => "[a-z]{0,8}", 1 => any::<String>()];
        let (statuses, phases) = (prop::collection::vec(text(), 0..22), prop::collection::vec(0..7, 0..4));
        (text(), text(), statuses, phases, time(), time(), -1..=502).prop_map(
            |(customer_id, workflow, statuses, phases, created_from, created_before, page_size)| ListOrdersRequest {
                page_size,
                page_token: String::new(),
                statuses,
                phases,
                customer_id,
                workflow,
                created_from,
                created_before,
            },
        )
    }

    /// A token whose hash is right and whose position is anything.
    fn with_token(request: ListOrdersRequest, position: &[u8]) -> ListOrdersRequest {
        let page_token = page::token(&ListOrdersRequest { page_size: 0, ..request.clone() }, position);
        ListOrdersRequest { page_token, ..request }
    }

    fn check(request: ListOrdersRequest) {
        match List::parse(request) {
            Ok(List { window, page_size, .. }) => {
                assert!((1..=500).contains(&page_size));
                let times = [window.created_from, window.created_before, window.after.map(|(time, _)| time)];
                assert!(times.iter().flatten().all(|time| (0..=9999).contains(&time.year())), "{times:?}");
            }
            Err(error) => drop(wrong_fields(error)),
        }
    }

    proptest! {
        #[test]
        fn a_list_is_what_the_database_can_walk_or_is_refused_by_field(request in request()) {
            check(request);
        }

        #[test]
        fn a_token_that_somebody_made_up_is_a_position_or_is_refused(
            request in request(), micros in any::<i64>(), rest in prop::collection::vec(any::<u8>(), 14..18), shift in 0..40
        ) {
            let micros: i64 = micros >> shift;
            let position = [&micros.to_be_bytes()[..], &rest].concat();
            check(with_token(request.clone(), &position));
            check(ListOrdersRequest { page_token: String::from_utf8_lossy(&position).into_owned(), ..request });
        }
    }

    #[test]
    fn a_token_of_a_time_that_the_database_does_not_know_is_refused() {
        let before_all_time = (-300_000_000_000_000_000_i64).to_be_bytes();
        let request = with_token(ListOrdersRequest::default(), &[&before_all_time[..], &[0; 16]].concat());
        assert_eq!(wrong_fields(List::parse(request).expect_err("refused")), ["page_token"]);
    }

    #[test]
    fn a_position_survives_its_token_and_nonsense_is_refused() {
        let position = (time::macros::datetime!(2026-11-22 10:00:00.123456 UTC), Uuid::now_v7());
        assert_eq!(decode(&encode(position)).expect("ours"), position);
        for nonsense in [&b""[..], b"1234567", b"123456789", &[0xff; 24]] {
            assert!(decode(nonsense).is_err() || nonsense.len() == 24);
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let request = ListOrdersRequest { page_size: 501, phases: vec![99], ..Default::default() };
        let message = tonic::Status::from(List::parse(request).expect_err("refused")).message().to_owned();
        assert!(message.contains("page_size") && message.contains("phases[0]"), "{message}");
    }
}
