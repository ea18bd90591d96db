//! MailService: what became of an order's mails, and sending one again.

use std::sync::Arc;

use comanda_kit::{
    errors::{ApiError, Violations},
    page,
    shutdown::Tasks,
};
use comanda_proto::{
    errors::reason,
    v1::{
        ListMailsRequest, ListMailsResponse, Mail, MailState, ResendMailRequest, ResendMailResponse,
        mail_service_server::MailService,
    },
    views::timestamp,
};
use prost::Message;
use tokio::sync::Notify;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::{
    row::{Key, Listed},
    store::Store,
};

const DEFAULT_PAGE_SIZE: i64 = 100;
const MAX_PAGE_SIZE: i32 = 500;
/// Where a page is cut, so that no client's limit is met.
const PAGE_BYTES: usize = 1024 * 1024;

/// The handlers.
pub struct Api {
    pub(super) store: Store,
    pub(super) domain: String,
    pub(super) due: Arc<Notify>,
    pub(super) tasks: Tasks,
}

#[tonic::async_trait]
impl MailService for Api {
    async fn list_mails(&self, request: Request<ListMailsRequest>) -> Result<Response<ListMailsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn resend_mail(&self, request: Request<ResendMailRequest>) -> Result<Response<ResendMailResponse>, Status> {
        let (order, version) = wanted(&request.into_inner())?;
        let mail = Some(self.resend(order, version).await?);
        Ok(Response::new(ResendMailResponse { mail }))
    }
}

impl Api {
    async fn list(&self, request: ListMailsRequest) -> Result<ListMailsResponse, ApiError> {
        let (above, size) = page_of(&request)?;
        let (order, filter) = (above.order_id, above.order_id.to_string());
        if !self.store.order_exists(order).await? {
            return Err(ApiError::order_not_found(order));
        }
        let rows = self.store.list(above, size + 1).await?;
        Ok(self.page(rows, usize::try_from(size).unwrap_or(usize::MAX), &filter))
    }

    fn page(&self, rows: Vec<Listed>, size: usize, filter: &String) -> ListMailsResponse {
        let (all, mut bytes) = (rows.len(), 0);
        let mut last = None;
        let mut mails = Vec::new();
        for row in rows.into_iter().take(size) {
            let (key, mail) = (row.key, self.mail(row));
            bytes += mail.encoded_len();
            if bytes > PAGE_BYTES && last.is_some() {
                break;
            }
            last = Some(key);
            mails.push(mail);
        }
        let more = last.filter(|_| mails.len() < all);
        let next_page_token = more.map(|key| page::token(filter, &bytes_of(key))).unwrap_or_default();
        ListMailsResponse { mails, next_page_token }
    }

    fn mail(&self, row: Listed) -> Mail {
        let state = MailState::try_from(i32::from(row.state)).unwrap_or_default();
        Mail {
            order_id: row.key.order_id.to_string(),
            version: row.key.version,
            copy: row.key.copy,
            status: row.status,
            recipient: row.email,
            state: state.into(),
            attempts: row.attempts,
            last_reply: row.last_reply,
            next_try_time: row.next_try_time.filter(|_| state == MailState::Due).map(timestamp),
            update_time: Some(timestamp(row.update_time)),
            message_id: row.key.message_id(&self.domain),
        }
    }

    async fn resend(&self, order: Uuid, version: i64) -> Result<Mail, ApiError> {
        let store = self.store.clone();
        let entered = self.tasks.finish(async move { store.enter_copy(order, version).await }).await?;
        let Some(copy) = entered else {
            return Err(self.why_not(order, version).await?);
        };
        self.due.notify_one();
        let above = Key { order_id: order, version, copy: copy - 1 };
        let rows = self.store.list(above, 1).await?;
        rows.into_iter().next().map(|row| self.mail(row)).ok_or_else(|| ApiError::order_not_found(order))
    }

    async fn why_not(&self, order: Uuid, version: i64) -> Result<ApiError, ApiError> {
        let states = self.store.states(order, version).await?;
        if states.is_empty() && !self.store.order_exists(order).await? {
            return Ok(ApiError::order_not_found(order));
        }
        let suppressed = states.iter().any(|state| i32::from(*state) == MailState::Suppressed as i32);
        let (code, reason, message) = match (states.is_empty(), suppressed) {
            (true, _) => (Code::NotFound, reason::MAIL_NOT_FOUND, "there is no mail for this version (yet)"),
            (_, true) => (Code::FailedPrecondition, reason::MAIL_NOT_DUE, "this transition has no mail"),
            _ => (Code::FailedPrecondition, reason::MAIL_PENDING, "an earlier copy is not finished yet"),
        };
        Ok(ApiError::new(code, reason, message).with("order_id", order).with("version", version))
    }
}

/// The transition whose mail is to be sent again.
fn wanted(request: &ResendMailRequest) -> Result<(Uuid, i64), ApiError> {
    let mut violations = Violations::default();
    let order = violations.uuid("order_id", &request.order_id);
    violations.require(request.version >= 1, "version", "must be 1 or more");
    violations.check()?;
    Ok((order, request.version))
}

/// The key that a page begins above, and how many mails it may have.
fn page_of(request: &ListMailsRequest) -> Result<(Key, i64), ApiError> {
    let mut violations = Violations::default();
    let order = violations.uuid("order_id", &request.order_id);
    let size = page::size(&mut violations, request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
    violations.check()?;
    Ok((position(order, page::position(&order.to_string(), &request.page_token)?)?, size))
}

fn bytes_of(key: Key) -> Vec<u8> {
    [&key.version.to_be_bytes()[..], &key.copy.to_be_bytes()].concat()
}

/// The key that a page begins above.
fn position(order_id: Uuid, token: Option<Vec<u8>>) -> Result<Key, ApiError> {
    let Some(bytes) = token else {
        return Ok(Key { order_id, version: 0, copy: 0 });
    };
    let (version, copy) = bytes.split_at_checked(8).ok_or_else(page::bad_token)?;
    let version = version.try_into().map(i64::from_be_bytes).map_err(|_| page::bad_token())?;
    let copy = copy.try_into().map(i32::from_be_bytes).map_err(|_| page::bad_token())?;
    Ok(Key { order_id, version, copy })
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::{damaged, wrong_fields};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// The bytes as each request of the service that they may be.
    fn check(bytes: &[u8]) {
        let listed = ListMailsRequest::decode(bytes).ok().map(|request| page_of(&request));
        match listed {
            Some(Ok((_, size))) => assert!((1..=i64::from(MAX_PAGE_SIZE)).contains(&size)),
            Some(Err(error)) => drop(wrong_fields(error)),
            None => {}
        }
        match ResendMailRequest::decode(bytes).ok().map(|request| wanted(&request)) {
            Some(Ok((_, version))) => assert!(version >= 1),
            Some(Err(error)) => drop(wrong_fields(error)),
            None => {}
        }
    }

    proptest! {
        #[test]
        fn a_page_or_a_mail_is_meant_or_refused_by_field(
            order in any::<u128>(), page_size in -1..=502, place in vec(any::<u8>(), 10..14), changes in vec(any::<(u16, u8)>(), 0..4)
        ) {
            let order_id = Uuid::from_u128(order).to_string();
            let page_token = page::token(&order_id, &place);
            check(&damaged(&ListMailsRequest { order_id, page_size, page_token }.encode_to_vec(), &changes));
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes in vec(any::<u8>(), 0..100)) {
            check(&bytes);
        }

        #[test]
        fn a_token_leads_on_behind_its_mail(order in any::<u128>(), version in any::<i64>(), copy in any::<i32>()) {
            let key = Key { order_id: Uuid::from_u128(order), version, copy };
            prop_assert_eq!(position(key.order_id, Some(bytes_of(key))).expect("ours"), key);
        }
    }
}
