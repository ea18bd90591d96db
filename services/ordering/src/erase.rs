//! Erasing a customer: what is asked for, checked, and how far one call goes.

use std::time::Duration;

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    page,
    postgres::StoreError,
};
use comanda_proto::v1::{EraseCustomerRequest, EraseCustomerResponse};
use prost::{
    DecodeError,
    encoding::{DecodeContext, decode_key, skip_field},
};
use tokio::time::Instant;

use crate::{
    position::Cursor,
    store::{Position, Store},
};

/// How many orders one statement changes.
const BATCH: usize = 50;
/// How long one call goes on.
const WORK: Duration = Duration::from_secs(4);
/// The field `labels` of `comanda.v1.Order`.
const LABELS_FIELD: u32 = 14;

/// A valid request.
#[derive(Debug)]
pub struct Erasure {
    /// Without its page token.
    request: EraseCustomerRequest,
    below: Option<Position>,
}

impl Erasure {
    /// Checks a request.
    pub fn parse(scope: &Scope, mut request: EraseCustomerRequest) -> Result<Self, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let mut violations = Violations::default();
        violations.visible_text("customer_id", &request.customer_id, 1, 64);
        violations.check()?;
        let cursor = page::position::<Cursor>(scope, &request, &page_token)?;
        let below = cursor.map(|cursor| cursor.position().ok_or_else(page::bad_token)).transpose()?;
        Ok(Self { request, below })
    }

    /// Erases batch by batch, newest orders first, until nothing is left or the time is over.
    pub async fn run(mut self, store: &Store, scope: &Scope) -> Result<EraseCustomerResponse, ApiError> {
        let deadline = Instant::now() + WORK;
        let mut response = EraseCustomerResponse::default();
        loop {
            let rows = store.contents(scope, &self.request.customer_id, self.below, BATCH as i64).await?;
            let (count, last) = (rows.len(), rows.last().map(|row| (row.create_time, row.order_id)));
            let contents = rows.into_iter().map(|row| Ok((row.order_id, without_labels(&row.content)?)));
            let contents = contents.collect::<Result<_, StoreError>>()?;
            response.erased_orders += store.erase(scope, contents).await?.cast_signed();
            if count < BATCH {
                return Ok(response);
            }
            self.below = last;
            if Instant::now() >= deadline {
                response.next_page_token =
                    last.map(|last| page::token(scope, &self.request, &Cursor::at(last))).unwrap_or_default();
                return Ok(response);
            }
        }
    }
}

/// The content of an order without its labels. Everything else stays byte for byte, fields of later versions included.
fn without_labels(content: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (mut rest, mut kept) = (content, Vec::with_capacity(content.len()));
    while !rest.is_empty() {
        let field = rest;
        let (tag, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
        if tag != LABELS_FIELD {
            kept.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use comanda_proto::{
        Money,
        v1::{Item, Order},
    };
    use prost::{
        Message,
        encoding::{WireType, encode_key, encode_varint},
    };

    use super::*;

    #[test]
    fn labels_go_and_everything_else_stays_also_what_this_version_does_not_know() {
        let total = Some(Money { currency_code: "PEN".into(), units: 7, nanos: 0 });
        let items = vec![Item { name: "Lomo saltado".into(), quantity: 1, ..Item::default() }];
        let order = Order { items, total, ..Order::default() };
        let labels = [("phone".to_owned(), "+51 1 555".to_owned()), ("table".to_owned(), "4".to_owned())].into();
        let mut content = Order { labels, ..order.clone() }.encode_to_vec();
        encode_key(99, WireType::Varint, &mut content);
        encode_varint(7, &mut content);

        let kept = without_labels(&content).expect("valid protobuf");
        assert_eq!(Order::decode(&*kept), Ok(order));
        assert!(kept.ends_with(&content[content.len() - 3..]));
        assert_eq!(without_labels(&kept), Ok(kept.clone()));
        assert!(without_labels(&content[..content.len() - 1]).is_err());
    }
}
