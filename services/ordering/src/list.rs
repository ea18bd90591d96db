//! Lists of orders: what is asked for, checked, and how far one call goes.

use comanda_kit::{
    errors::{Refusal, Violations},
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
    pub fn parse(mut request: ListOrdersRequest) -> Result<Self, Refusal> {
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
    pub async fn page(mut self, store: &Store, tenant: &str) -> Result<ListOrdersResponse, Refusal> {
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
                    let order = row.into_order().map_err(comanda_kit::postgres::Problem::from)?;
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
    let parsed = offset_date_time(time).filter(|time| (0..=9999).contains(&time.year()));
    violations.require(parsed.is_some(), field, "must be a time between the years 0 and 9999");
    parsed
}

fn encode((create_time, order_id): (OffsetDateTime, Uuid)) -> Vec<u8> {
    // Postgres keeps microseconds.
    let micros = (create_time.unix_timestamp_nanos() / 1000) as i64;
    [micros.to_be_bytes().as_slice(), order_id.as_bytes()].concat()
}

fn decode(position: &[u8]) -> Result<(OffsetDateTime, Uuid), Refusal> {
    let (micros, order_id) = position.split_first_chunk::<8>().ok_or_else(page::bad_token)?;
    let nanos = i128::from(i64::from_be_bytes(*micros)) * 1000;
    let create_time = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| page::bad_token())?;
    Ok((create_time, Uuid::from_slice(order_id).map_err(|_| page::bad_token())?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
