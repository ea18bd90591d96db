//! MailService: the state of mails, and sending them again. What a caller asks for is read in `request.rs`.

use std::sync::Arc;

use comanda_kit::{access::Scope, errors::ApiError, page, shutdown::Tasks, workflows::Workflows};
use comanda_proto::{
    errors::reason,
    v1::{
        ListMailsRequest, ListMailsResponse, Mail, MailState, ResendDeadMailsRequest, ResendDeadMailsResponse,
        ResendMailRequest, ResendMailResponse, mail_service_server::MailService,
    },
    views::timestamp,
};
use prost::Message;
use tonic::{Code, Request, Response, Status};

use super::{
    due::Due,
    plan,
    request::{Bulk, List, Place, Resend},
    row::{Key, Listed},
    store::{Found, Store},
};

/// Where a page is cut, so that it stays below every client's limit.
const PAGE_BYTES: usize = 1024 * 1024;

/// The handlers.
pub struct Api {
    pub(super) store: Store,
    pub(super) workflows: Workflows,
    pub(super) domain: String,
    pub(super) due: Arc<Due>,
    pub(super) tasks: Tasks,
}

#[tonic::async_trait]
impl MailService for Api {
    async fn list_mails(&self, request: Request<ListMailsRequest>) -> Result<Response<ListMailsResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        Ok(Response::new(self.list(&scope, &request.into_inner()).await?))
    }

    async fn resend_mail(&self, request: Request<ResendMailRequest>) -> Result<Response<ResendMailResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let wanted = Resend::read(&request.into_inner())?;
        Ok(Response::new(self.resend(&scope, wanted).await?))
    }

    async fn resend_dead_mails(
        &self,
        request: Request<ResendDeadMailsRequest>,
    ) -> Result<Response<ResendDeadMailsResponse>, Status> {
        let scope = Scope::of(request.extensions())?;
        let wanted = Bulk::read(&request.into_inner())?;
        Ok(Response::new(self.resend_dead(scope, wanted).await?))
    }
}

impl Api {
    async fn list(&self, scope: &Scope, request: &ListMailsRequest) -> Result<ListMailsResponse, ApiError> {
        let list = List::read(scope, request)?;
        let rows = match &list.place {
            Place::OfOrder(above) => {
                if !self.store.order_exists(scope, above.order_id).await? {
                    return Err(ApiError::order_not_found(above.order_id));
                }
                self.store.of_order(scope, *above, list.size + 1).await?
            }
            Place::Undelivered(after) => self.store.undelivered(scope, &list.filter, *after, list.size + 1).await?,
        };
        Ok(self.page(scope, request, rows, usize::try_from(list.size).unwrap_or(usize::MAX)))
    }

    /// At most `size` rows, and a token if there are more.
    fn page(&self, scope: &Scope, request: &ListMailsRequest, rows: Vec<Listed>, size: usize) -> ListMailsResponse {
        let (all, mut bytes) = (rows.len(), 0);
        let mut last = None;
        let mut mails = Vec::new();
        for row in rows.into_iter().take(size) {
            let (position, mail) = (List::position(request, &row), self.mail(row));
            bytes += mail.encoded_len();
            if bytes > PAGE_BYTES && last.is_some() {
                break;
            }
            last = Some(position);
            mails.push(mail);
        }
        let more = last.filter(|_| mails.len() < all);
        let filter = List::filter_of(request);
        let next_page_token = more.map(|position| page::token(scope, &filter, &position)).unwrap_or_default();
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
            undelivered_time: row.undelivered_time.map(timestamp),
            number: row.number,
        }
    }

    async fn resend(&self, scope: &Scope, wanted: Resend) -> Result<ResendMailResponse, ApiError> {
        if let Some(replayed) = self.replayed(scope, wanted).await? {
            return Ok(replayed);
        }
        let found = self.store.find(scope, wanted.order_id, wanted.version).await?;
        let found = found.ok_or_else(|| ApiError::order_not_found(wanted.order_id))?;
        if let Some(refusal) = self.refusal(wanted, &found).await? {
            // Unless the pending copy is that of the same request, made meanwhile.
            return self.replayed(scope, wanted).await?.ok_or(refusal);
        }
        let (store, scope_of_task) = (self.store.clone(), scope.clone());
        let Resend { order_id, version, request_id } = wanted;
        let entering = async move { store.enter_copy(&scope_of_task, order_id, version, request_id).await };
        match self.tasks.finish(entering).await? {
            Some(copy) => {
                self.due.entered();
                self.answer(scope, Key { order_id, version, copy }, false).await
            }
            // Another call was first: with this request_id, or for this mail.
            None => self.replayed(scope, wanted).await?.ok_or_else(|| pending(wanted)),
        }
    }

    /// The answer of the first call with this request_id; a mismatch where that was for another mail.
    async fn replayed(&self, scope: &Scope, wanted: Resend) -> Result<Option<ResendMailResponse>, ApiError> {
        let Some(request) = wanted.request_id else {
            return Ok(None);
        };
        match self.store.copy_of_request(scope, request).await? {
            None => Ok(None),
            Some(key) if (key.order_id, key.version) == (wanted.order_id, wanted.version) => {
                self.answer(scope, key, true).await.map(Some)
            }
            Some(_) => Err(ApiError::new(
                Code::InvalidArgument,
                reason::IDEMPOTENCY_MISMATCH,
                "this request_id was used for another order or version",
            )),
        }
    }

    async fn answer(&self, scope: &Scope, key: Key, replayed: bool) -> Result<ResendMailResponse, ApiError> {
        let rows = self.store.of_order(scope, Key { copy: key.copy - 1, ..key }, 1).await?;
        let row = rows.into_iter().next().ok_or_else(|| ApiError::order_not_found(key.order_id))?;
        Ok(ResendMailResponse { mail: Some(self.mail(row)), replayed })
    }

    /// Why no copy can be made; `None` where it can.
    async fn refusal(&self, wanted: Resend, found: &Found) -> Result<Option<ApiError>, ApiError> {
        let Some(latest) = found.states.last().map(|state| i32::from(*state)) else {
            return Ok(Some(error(
                wanted,
                Code::NotFound,
                reason::MAIL_NOT_FOUND,
                "there is no mail for this version (yet)",
            )));
        };
        if latest == MailState::Due as i32 || latest == MailState::Sending as i32 {
            return Ok(Some(pending(wanted)));
        }
        let workflow = self.workflows.get(&found.workflow, found.workflow_revision).await?;
        if plan::state(&workflow, &found.status, found.has_address) == MailState::Due {
            return Ok(None);
        }
        let message = "there is nothing to send: the status has no mail or the order no address";
        Ok(Some(error(wanted, Code::FailedPrecondition, reason::MAIL_NOT_DUE, message)))
    }

    async fn resend_dead(&self, scope: Scope, wanted: Bulk) -> Result<ResendDeadMailsResponse, ApiError> {
        let (store, most) = (self.store.clone(), wanted.most);
        let entering = async move { store.enter_copies(&scope, &wanted.filter, most).await };
        let (selected, made, now) = self.tasks.finish(entering).await?;
        self.due.entered();
        Ok(ResendDeadMailsResponse {
            resent_count: i32::try_from(made).unwrap_or(i32::MAX),
            more_remain: selected == most,
            selection_time: Some(timestamp(now)),
        })
    }
}

fn pending(wanted: Resend) -> ApiError {
    error(wanted, Code::FailedPrecondition, reason::MAIL_PENDING, "an earlier copy is not finished yet")
}

fn error(wanted: Resend, code: Code, reason: &'static str, message: &str) -> ApiError {
    let Resend { order_id, version, .. } = wanted;
    ApiError::new(code, reason, message).with("order_id", order_id).with("version", version)
}
