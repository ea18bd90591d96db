//! What a caller of MailService asks for: pure, no I/O. Every wrong field is named.

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    page,
};
use comanda_proto::{
    v1::{ListMailsRequest, MailFilter, MailState, ResendDeadMailsRequest, ResendMailRequest},
    views::{offset_date_time, timestamp},
};
use prost::Message;
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use super::row::{Key, Listed, Undelivered};

const DEFAULT_PAGE_SIZE: i64 = 100;
const MAX_PAGE_SIZE: i64 = 500;
const DEFAULT_RESENDS: i64 = 500;
const MAX_RESENDS: i64 = 1000;
const MAX_STATUSES: usize = 20;
const MAX_STATUS_CHARS: usize = 64;
const MAX_REPLY_CHARS: usize = 100;

/// A page of mails.
#[derive(Clone, Debug)]
pub struct List {
    pub place: Place,
    pub filter: Undelivered,
    pub size: i64,
}

/// After which mail a page begins.
#[derive(Clone, Debug)]
pub enum Place {
    /// Of one order.
    OfOrder(Key),
    /// Of the undelivered mails of all orders; `None` for the first page.
    Undelivered(Option<(OffsetDateTime, Key)>),
}

/// The last mail of a page, in the token of the next one.
#[derive(Clone, PartialEq, Message)]
pub struct Position {
    #[prost(message, optional, tag = "1")]
    undelivered_time: Option<Timestamp>,
    #[prost(bytes = "vec", tag = "2")]
    order_id: Vec<u8>,
    #[prost(int64, tag = "3")]
    version: i64,
    #[prost(int32, tag = "4")]
    copy: i32,
}

impl List {
    /// Checks a request.
    pub fn read(scope: &Scope, request: &ListMailsRequest) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let order = violations.optional_uuid("order_id", &request.order_id);
        let unwanted = order.is_some() && request.filter.is_some();
        violations.require(!unwanted, "filter", "must be absent where order_id is given");
        let filter = undelivered(&mut violations, request.filter.as_ref());
        let size = page::size(&mut violations, request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
        violations.check()?;
        let position = page::position::<Position>(scope, &Self::filter_of(request), &request.page_token)?;
        let place = match order {
            Some(order_id) => Place::OfOrder(above(order_id, position)),
            None => Place::Undelivered(position.map(after).transpose()?),
        };
        Ok(Self { place, filter, size })
    }

    /// What a page token is bound to.
    pub fn filter_of(request: &ListMailsRequest) -> ListMailsRequest {
        ListMailsRequest { order_id: request.order_id.clone(), filter: request.filter.clone(), ..Default::default() }
    }

    /// Where the page after this row begins.
    pub fn position(request: &ListMailsRequest, row: &Listed) -> Position {
        let time = row.undelivered_time.filter(|_| request.order_id.is_empty());
        Position {
            undelivered_time: time.map(timestamp),
            order_id: row.key.order_id.as_bytes().to_vec(),
            version: row.key.version,
            copy: row.key.copy,
        }
    }
}

fn above(order_id: Uuid, position: Option<Position>) -> Key {
    let Position { version, copy, .. } = position.unwrap_or_default();
    Key { order_id, version, copy }
}

fn after(position: Position) -> Result<(OffsetDateTime, Key), ApiError> {
    let time = position.undelivered_time.as_ref().and_then(offset_date_time).ok_or_else(page::bad_token)?;
    let order_id = Uuid::from_slice(&position.order_id).map_err(|_| page::bad_token())?;
    Ok((time, Key { order_id, version: position.version, copy: position.copy }))
}

/// A mail to send again.
#[derive(Clone, Copy, Debug)]
pub struct Resend {
    pub order_id: Uuid,
    pub version: i64,
    pub request_id: Option<Uuid>,
}

impl Resend {
    /// Checks a request.
    pub fn read(request: &ResendMailRequest) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let order_id = violations.uuid("order_id", &request.order_id);
        violations.require(request.version >= 1, "version", "must be 1 or more");
        let request_id = violations.request_id("request_id", &request.request_id);
        violations.check()?;
        Ok(Self { order_id, version: request.version, request_id })
    }
}

/// Dead mails to send again.
#[derive(Clone, Debug)]
pub struct Bulk {
    pub filter: Undelivered,
    pub most: i64,
}

impl Bulk {
    /// Checks a request.
    pub fn read(request: &ResendDeadMailsRequest) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let mut states = vec![MailState::Dead as i16];
        states.extend(request.include_too_old.then_some(MailState::Suppressed as i16));
        let filter = Undelivered {
            states,
            statuses: statuses(&mut violations, "statuses", &request.statuses),
            from: instant(&mut violations, "died_from_time", request.died_from_time),
            before: instant(&mut violations, "died_before_time", request.died_before_time),
            reply_contains: reply(&mut violations, "reply_contains", &request.reply_contains),
        };
        violations.require(request.max_mails >= 0, "max_mails", "must be 0 or more");
        violations.check()?;
        let most = if request.max_mails == 0 { DEFAULT_RESENDS } else { i64::from(request.max_mails).min(MAX_RESENDS) };
        Ok(Self { filter, most })
    }
}

fn undelivered(violations: &mut Violations, filter: Option<&MailFilter>) -> Undelivered {
    let filter = filter.cloned().unwrap_or_default();
    Undelivered {
        states: states(violations, &filter),
        statuses: statuses(violations, "filter.statuses", &filter.statuses),
        from: instant(violations, "filter.undelivered_from_time", filter.undelivered_from_time),
        before: instant(violations, "filter.undelivered_before_time", filter.undelivered_before_time),
        reply_contains: reply(violations, "filter.reply_contains", &filter.reply_contains),
    }
}

fn states(violations: &mut Violations, filter: &MailFilter) -> Vec<i16> {
    let all = [MailState::Dead, MailState::Suppressed];
    let holds = filter.states().all(|state| all.contains(&state)) && filter.states.len() <= all.len();
    violations.require(holds, "filter.states", "must be MAIL_STATE_DEAD, MAIL_STATE_SUPPRESSED or both");
    let chosen =
        all.into_iter().filter(|state| filter.states.is_empty() || filter.states().any(|wanted| wanted == *state));
    chosen.map(|state| state as i16).collect()
}

fn statuses(violations: &mut Violations, field: &str, statuses: &[String]) -> Vec<String> {
    violations.require(statuses.len() <= MAX_STATUSES, field, format!("must be at most {MAX_STATUSES}"));
    for (index, status) in statuses.iter().enumerate().take(MAX_STATUSES) {
        violations.text(format!("{field}[{index}]"), status, 1, MAX_STATUS_CHARS);
    }
    statuses.to_vec()
}

fn reply(violations: &mut Violations, field: &str, text: &str) -> String {
    violations.text(field, text, 0, MAX_REPLY_CHARS);
    text.to_owned()
}

/// The database counts microseconds and a time bound may be finer. Mails have whole microseconds, so "at or after" and "before" are
/// both kept by rounding up.
fn instant(violations: &mut Violations, field: &str, time: Option<Timestamp>) -> Option<OffsetDateTime> {
    let read = offset_date_time(&time?).filter(|time| (1..9999).contains(&time.year()));
    violations.require(read.is_some(), field, "must be a time in the years 1 to 9998");
    let read = read?;
    let excess = read.nanosecond() % 1000;
    Some(if excess == 0 { read } else { read + time::Duration::nanoseconds(i64::from(1000 - excess)) })
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::{damaged, wrong_fields};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The bytes, read as each request of the service.
    fn check(bytes: &[u8]) {
        match ListMailsRequest::decode(bytes).ok().map(|request| List::read(&Scope::built_in(), &request)) {
            Some(Ok(list)) => assert!((1..=MAX_PAGE_SIZE).contains(&list.size) && !list.filter.states.is_empty()),
            Some(Err(error)) => drop(wrong_fields(error)),
            None => {}
        }
        match ResendMailRequest::decode(bytes).ok().map(|request| Resend::read(&request)) {
            Some(Ok(resend)) => assert!(resend.version >= 1 && resend.request_id != Some(Uuid::nil())),
            Some(Err(error)) => drop(wrong_fields(error)),
            None => {}
        }
        match ResendDeadMailsRequest::decode(bytes).ok().map(|request| Bulk::read(&request)) {
            Some(Ok(bulk)) => assert!((1..=MAX_RESENDS).contains(&bulk.most)),
            Some(Err(error)) => drop(wrong_fields(error)),
            None => {}
        }
    }

    fn row(order: u128, version: i64, copy: i32, time: Option<OffsetDateTime>) -> Listed {
        Listed {
            key: Key { order_id: Uuid::from_u128(order), version, copy },
            status: String::new(),
            state: 5,
            attempts: 1,
            last_reply: String::new(),
            next_try_time: None,
            undelivered_time: time,
            update_time: OffsetDateTime::UNIX_EPOCH,
            number: 1,
            email: String::new(),
        }
    }

    proptest! {
        #[test]
        fn a_damaged_request_is_read_or_refused_by_field(order in any::<u128>(), page_size in -1..=502, changes in vec(any::<(u16, u8)>(), 0..4)) {
            let order_id = Uuid::from_u128(order).to_string();
            check(&damaged(&ListMailsRequest { order_id: order_id.clone(), page_size, ..Default::default() }.encode_to_vec(), &changes));
            let filter = Some(MailFilter { statuses: vec!["received".into()], reply_contains: "550".into(), ..Default::default() });
            check(&damaged(&ListMailsRequest { page_size, filter, ..Default::default() }.encode_to_vec(), &changes));
            let request_id = Uuid::from_u128(order).to_string();
            check(&damaged(&ResendMailRequest { order_id, version: 2, request_id }.encode_to_vec(), &changes));
            let died_from_time = Some(Timestamp { seconds: 1_700_000_000, nanos: 5 });
            check(&damaged(&ResendDeadMailsRequest { died_from_time, max_mails: 7, ..Default::default() }.encode_to_vec(), &changes));
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes in vec(any::<u8>(), 0..100)) {
            check(&bytes);
        }

        #[test]
        fn a_token_continues_behind_its_mail(order in any::<u128>(), version in 1..i64::MAX, copy in 0..i32::MAX, seconds in 0..4_000_000_000_i64) {
            let (scope, time) = (Scope::built_in(), OffsetDateTime::from_unix_timestamp(seconds).expect("in range"));
            let row = row(order, version, copy, Some(time));
            for order_id in [String::new(), row.key.order_id.to_string()] {
                let request = ListMailsRequest { order_id, ..Default::default() };
                let page_token = page::token(&scope, &List::filter_of(&request), &List::position(&request, &row));
                match List::read(&scope, &ListMailsRequest { page_token, ..request }).expect("our token").place {
                    Place::OfOrder(key) => prop_assert_eq!(key, row.key),
                    Place::Undelivered(after) => prop_assert_eq!(after, Some((time, row.key))),
                }
            }
        }
    }

    #[test]
    fn a_wrong_filter_is_refused_by_field() {
        let wrong = MailFilter {
            states: vec![MailState::Sent.into()],
            statuses: vec![String::new()],
            undelivered_from_time: Some(Timestamp { seconds: i64::MAX, nanos: 0 }),
            undelivered_before_time: Some(Timestamp { seconds: 0, nanos: -1 }),
            reply_contains: "x".repeat(101),
        };
        let request = ListMailsRequest { filter: Some(wrong.clone()), page_size: -1, ..Default::default() };
        let fields = wrong_fields(List::read(&Scope::built_in(), &request).expect_err("wrong"));
        let expected = ["states", "statuses[0]", "undelivered_from_time", "undelivered_before_time", "reply_contains"];
        assert_eq!(fields[..5], expected.map(|field| format!("filter.{field}")));
        assert_eq!(fields[5], "page_size");
        let both = ListMailsRequest {
            order_id: Uuid::now_v7().to_string(),
            filter: Some(MailFilter::default()),
            ..Default::default()
        };
        assert_eq!(wrong_fields(List::read(&Scope::built_in(), &both).expect_err("both")), ["filter"]);
    }

    #[test]
    fn a_bound_finer_than_a_microsecond_is_rounded_up() {
        let bound = |nanos| instant(&mut Violations::default(), "time", Some(Timestamp { seconds: 7, nanos }));
        assert_eq!(bound(1).expect("valid").nanosecond(), 1000);
        assert_eq!(bound(999_999_999).expect("valid").unix_timestamp(), 8);
        assert_eq!(bound(5000).expect("valid").nanosecond(), 5000);
    }
}
