//! Erasing a customer: what is asked for, checked, and how far one call goes.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    page,
    postgres::StoreError,
};
use comanda_proto::v1::{EraseCustomerRequest, EraseCustomerResponse};
use prost::{
    DecodeError,
    encoding::{DecodeContext, bytes, decode_key, skip_field},
};
use tokio::time::Instant;
use uuid::Uuid;

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
/// The field `trip` of `comanda.v1.Order`.
const TRIP_FIELD: u32 = 15;
/// The fields `pickup` and `dropoff` of `comanda.v1.Trip`.
const PLACE_FIELDS: [u32; 2] = [1, 2];

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Orders that had anything personal.
    pub orders: u64,
    /// Their labels.
    pub labels: u64,
    /// The places of their trips.
    pub places: u64,
}

impl AddAssign for Erased {
    fn add_assign(&mut self, more: Self) {
        self.orders += more.orders;
        self.labels += more.labels;
        self.places += more.places;
    }
}

/// Some orders of a customer that was erased from them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The orders, with those that had nothing personal.
    pub order_ids: Vec<Uuid>,
    /// What was removed.
    pub erased: Erased,
    /// Where to go on; `None` at the end.
    pub next: Option<Position>,
}

/// Erases a customer from the next orders behind a position, newest first.
pub async fn erase_next(
    store: &Store,
    scope: &Scope,
    customer_id: &str,
    below: Option<Position>,
) -> Result<Batch, StoreError> {
    let rows = store.contents(scope, customer_id, below, BATCH as i64).await?;
    let next = rows.last().filter(|_| rows.len() == BATCH).map(|row| (row.create_time, row.order_id));
    let order_ids = rows.iter().map(|row| row.order_id).collect();
    let (mut found, mut contents) = (BTreeMap::new(), Vec::with_capacity(rows.len()));
    for row in rows {
        let (content, personal) = without_person(&row.content)?;
        found.insert(row.order_id, personal);
        contents.push((row.order_id, content));
    }
    let mut erased = Erased::default();
    for order_id in store.erase(scope, contents).await? {
        erased += found.get(&order_id).copied().unwrap_or_default();
    }
    Ok(Batch { order_ids, erased, next })
}

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
            let Batch { erased, next, .. } = erase_next(store, scope, &self.request.customer_id, self.below).await?;
            response.erased_orders += erased.orders.cast_signed();
            let Some(next) = next else { return Ok(response) };
            self.below = Some(next);
            if Instant::now() >= deadline {
                response.next_page_token = page::token(scope, &self.request, &Cursor::at(next));
                return Ok(response);
            }
        }
    }
}

/// The content of an order without its labels and the places of its trip, and what those were. Everything else stays byte for byte, fields of
/// later versions included.
fn without_person(content: &[u8]) -> Result<(Vec<u8>, Erased), DecodeError> {
    let (mut kept, mut erased) = (Vec::with_capacity(content.len()), Erased { orders: 1, ..Erased::default() });
    for_each_field(content, |tag, field| {
        match tag {
            // Each entry of a map is a field of its own.
            LABELS_FIELD => erased.labels += 1,
            TRIP_FIELD => {
                let (trip, places) = without_places(field)?;
                bytes::encode(TRIP_FIELD, &trip, &mut kept);
                erased.places += places;
            }
            _ => kept.extend_from_slice(field),
        }
        Ok(())
    })?;
    Ok((kept, erased))
}

/// The trip in a field without its places, and how many those were.
fn without_places(mut field: &[u8]) -> Result<(Vec<u8>, u64), DecodeError> {
    let (_, wire_type) = decode_key(&mut field)?;
    let (mut trip, mut kept, mut places) = (Vec::new(), Vec::new(), 0);
    bytes::merge(wire_type, &mut trip, &mut field, DecodeContext::default())?;
    for_each_field(&trip, |tag, field| {
        match PLACE_FIELDS.contains(&tag) {
            true => places += 1,
            false => kept.extend_from_slice(field),
        }
        Ok(())
    })?;
    Ok((kept, places))
}

/// Calls `see` with the number and the bytes, key included, of each field of a message.
fn for_each_field(
    message: &[u8],
    mut see: impl FnMut(u32, &[u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut rest = message;
    while !rest.is_empty() {
        let field = rest;
        let (tag, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
        see(tag, &field[..field.len() - rest.len()])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use comanda_proto::{
        LatLng, Money,
        v1::{Item, Order, Place, Trip},
    };
    use prost::{
        Message,
        encoding::{WireType, encode_key, encode_varint},
    };

    use super::*;

    fn order_of_a_ride() -> Order {
        let position = Some(LatLng { latitude: -12.05, longitude: -77.04 });
        let place = Some(Place { position, address: "Jirón de la Unión 300".into() });
        let trip = Trip { pickup: place.clone(), dropoff: place, load: 2, zone: "lima".into(), ..Trip::default() };
        let total = Some(Money { currency_code: "PEN".into(), units: 7, nanos: 0 });
        let items = vec![Item { name: "Lomo saltado".into(), quantity: 1, ..Item::default() }];
        let labels = [("phone".to_owned(), "+51 1 555".to_owned()), ("table".to_owned(), "4".to_owned())].into();
        Order { items, total, labels, trip: Some(trip), ..Order::default() }
    }

    #[test]
    fn labels_and_places_go_and_everything_else_stays_also_what_this_version_does_not_know() {
        let order = order_of_a_ride();
        let mut content = order.encode_to_vec();
        encode_key(99, WireType::Varint, &mut content);
        encode_varint(7, &mut content);

        let (kept, erased) = without_person(&content).expect("valid protobuf");
        assert_eq!(erased, Erased { orders: 1, labels: 2, places: 2 });
        let bare = Trip { load: 2, zone: "lima".into(), ..Trip::default() };
        assert_eq!(Order::decode(&*kept), Ok(Order { labels: Default::default(), trip: Some(bare), ..order }));
        assert!(kept.ends_with(&content[content.len() - 3..]));
        assert_eq!(without_person(&kept), Ok((kept.clone(), Erased { orders: 1, ..Erased::default() })));
        assert!(without_person(&content[..content.len() - 1]).is_err());
    }

    #[test]
    fn what_this_version_does_not_know_of_a_trip_stays() {
        let mut trip = order_of_a_ride().trip.expect("has one").encode_to_vec();
        encode_key(98, WireType::Varint, &mut trip);
        encode_varint(7, &mut trip);
        let mut content = Vec::new();
        bytes::encode(TRIP_FIELD, &trip, &mut content);
        let (kept, _) = without_person(&content).expect("valid protobuf");
        assert!(kept.ends_with(&trip[trip.len() - 3..]) && kept.len() < trip.len());
        assert!(Order::decode(&*kept).expect("valid").trip.is_some_and(|trip| trip.pickup.is_none()));
    }
}
