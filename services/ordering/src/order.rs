//! What a valid order is. [`NewOrder::parse`] is the only way to make one, so having one is the proof.

use std::sync::Arc;

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    mail_address::{MailAddress, NotAnAddress},
    traces::Traceparent,
};
use comanda_proto::v1::{CreateOrderRequest, Customer, Item, Order, Phase, Workflow};
use prost::Message;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{money, trip};

/// The workflow of an order that names none.
pub const DEFAULT_WORKFLOW: &str = "delivery";
const MAX_ITEMS: usize = 100;
const MAX_LABELS: usize = 16;

/// An order that may be stored.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Who orders, and for which tenant.
    pub scope: Scope,
    /// Chosen here; dropped again if the request id turns out to be known.
    pub order_id: Uuid,
    /// The caller's id of the request and the hash of its content.
    pub request: Option<(Uuid, Vec<u8>)>,
    /// Who ordered.
    pub customer: Customer,
    /// Items, total, labels and trip.
    pub content: Order,
    /// When it is to start: the pickup time of its trip. `None` where at once.
    pub start_time: Option<OffsetDateTime>,
    /// The workflow, in the revision that it is pinned to.
    pub workflow: Arc<Workflow>,
    /// The span of the call that places it, if the call is traced.
    pub traceparent: Option<Traceparent>,
}

/// The workflow that a request asks for.
pub fn workflow_of(request: &CreateOrderRequest) -> &str {
    if request.workflow.is_empty() { DEFAULT_WORKFLOW } else { &request.workflow }
}

impl NewOrder {
    /// Checks a request. `workflow` is the current revision of its workflow, if there is such a workflow.
    pub fn parse(
        scope: Scope,
        mut request: CreateOrderRequest,
        workflow: Option<Arc<Workflow>>,
    ) -> Result<Self, ApiError> {
        let (mut violations, now) = (Violations::default(), OffsetDateTime::now_utc());
        let request_id = violations.request_id("request_id", &request.request_id);
        claim(&scope, &mut request, &mut violations);
        check_customer(request.customer.as_ref().unwrap_or(&Customer::default()), &mut violations);
        check_items(&request.items, &mut violations);
        violations.visible_text("workflow", &request.workflow, 0, 63);
        check_labels(&request, &mut violations);
        violations.require(workflow.is_some(), "workflow", "there is no such workflow; ListWorkflows names them");
        trip::check(request.trip.as_ref(), workflow.as_deref(), now, &mut violations);
        let total = money::total(&request.items);
        violations.require(total.is_some(), "items", "the total is too large");
        violations.check()?;

        Ok(Self {
            scope,
            order_id: Uuid::now_v7(),
            request: request_id.map(|id| (id, hash(&request))),
            customer: request.customer.unwrap_or_default(),
            start_time: request.trip.as_ref().and_then(|trip| trip::start_time(trip, now)),
            content: Order {
                items: request.items,
                total,
                labels: request.labels,
                trip: request.trip,
                ..Order::default()
            },
            workflow: workflow.expect("checked above"),
            traceparent: None,
        })
    }

    /// The same, placed by a call that is traced, or not.
    #[must_use]
    pub fn traced(self, traceparent: Option<Traceparent>) -> Self {
        Self { traceparent, ..self }
    }

    /// The status that it begins with.
    pub fn first_status(&self) -> &str {
        self.workflow.statuses.first().map_or("", |status| &status.name)
    }

    /// The order as it is right after it was stored.
    pub fn into_order(self, number: i64, create_time: prost_types::Timestamp) -> Order {
        let status = self.first_status().to_owned();
        Order {
            order_id: self.order_id.to_string(),
            number,
            customer: Some(self.customer),
            workflow: self.workflow.name.clone(),
            workflow_revision: self.workflow.revision,
            status,
            phase: Phase::Active.into(),
            version: 1,
            create_time: Some(create_time),
            status_time: Some(create_time),
            ..self.content
        }
    }
}

/// The hash of a request without its request_id.
fn hash(request: &CreateOrderRequest) -> Vec<u8> {
    let content = CreateOrderRequest { request_id: String::new(), ..request.clone() };
    Sha256::digest(content.encode_to_vec()).to_vec()
}

/// An order of a customer is its own.
fn claim(scope: &Scope, request: &mut CreateOrderRequest, violations: &mut Violations) {
    let Some(own) = scope.customer_id() else { return };
    let customer = request.customer.get_or_insert_default();
    if customer.customer_id.is_empty() {
        customer.customer_id = own.to_owned();
    }
    violations.require(customer.customer_id == own, "customer.customer_id", "must be the caller's own, or empty");
}

fn check_customer(customer: &Customer, violations: &mut Violations) {
    violations.visible_text("customer.customer_id", &customer.customer_id, 1, 64);
    violations.visible_text("customer.name", &customer.name, 0, 256);
    let has_address = customer.email.is_empty() || MailAddress::parse(&customer.email).is_ok();
    violations.require(has_address, "customer.email", NotAnAddress);
    let is_tag = |tag: &str| {
        tag.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
    };
    let locale = &customer.locale;
    let is_locale = locale.is_empty() || locale.len() <= 35 && is_tag(locale);
    violations.require(is_locale, "customer.locale", "must be a BCP 47 language tag such as es or es-MX, or empty");
}

fn check_items(items: &[Item], violations: &mut Violations) {
    violations.require((1..=MAX_ITEMS).contains(&items.len()), "items", "must be 1 to 100");
    // What lies beyond the limit is not looked at: the answer stays small.
    for (index, item) in items.iter().take(MAX_ITEMS).enumerate() {
        violations.visible_text(format_args!("items[{index}].sku"), &item.sku, 0, 64);
        violations.visible_text(format_args!("items[{index}].name"), &item.name, 1, 256);
        let is_quantity = (1..=10_000).contains(&item.quantity);
        violations.require(is_quantity, format_args!("items[{index}].quantity"), "must be 1 to 10,000");
        if let Err(wrong) = money::check_price(item.unit_price.as_ref()) {
            violations.require(false, format_args!("items[{index}].unit_price"), wrong);
        }
    }
    violations.require(money::is_of_one_currency(items), "items", "must all have the same currency");
}

fn check_labels(request: &CreateOrderRequest, violations: &mut Violations) {
    violations.require(request.labels.len() <= MAX_LABELS, "labels", "must be at most 16");
    for (key, value) in request.labels.iter().take(MAX_LABELS) {
        violations.visible_text("labels (a key)", key, 1, 63);
        violations.text(format_args!("labels[{}]", key.escape_debug()), value, 0, 256);
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::Money;
    use tonic::Status;
    use tonic_types::StatusExt;

    use super::*;

    fn valid() -> CreateOrderRequest {
        let unit_price = Some(Money { currency_code: "USD".into(), units: 2, nanos: 500_000_000 });
        CreateOrderRequest {
            request_id: "018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60".into(),
            customer: Some(Customer {
                customer_id: "c1".into(),
                email: "ana@example.com".into(),
                locale: "es-CL".into(),
                ..Default::default()
            }),
            items: vec![Item { name: "Empanada".into(), quantity: 3, unit_price, ..Default::default() }],
            ..Default::default()
        }
    }

    fn delivery() -> Option<Arc<Workflow>> {
        Some(Arc::new(Workflow { name: "delivery".into(), revision: 1, ..Workflow::default() }))
    }

    fn fields(request: CreateOrderRequest) -> Vec<String> {
        let status =
            Status::from(NewOrder::parse(Scope::built_in(), request, delivery()).expect_err("must be refused"));
        let bad_request = status.get_details_bad_request().expect("violations");
        bad_request.field_violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn a_valid_order_is_accepted_with_its_total() {
        let order = NewOrder::parse(Scope::built_in(), valid(), delivery()).expect("valid");
        assert_eq!(order.content.total, Some(Money { currency_code: "USD".into(), units: 7, nanos: 500_000_000 }));
    }

    #[test]
    fn every_offending_field_is_named_with_its_path() {
        let mut request = valid();
        request.request_id = "nonsense".into();
        request.customer = Some(Customer { email: "no address".into(), locale: "es_CL".into(), ..Default::default() });
        request.items.push(Item { name: "a\u{7}".into(), quantity: 0, ..Default::default() });
        request.labels.insert("k".into(), "v\n".into());
        let expected = [
            "request_id",
            "customer.customer_id",
            "customer.email",
            "customer.locale",
            "items[1].name",
            "items[1].quantity",
            "items[1].unit_price",
            "labels[k]",
        ];
        assert_eq!(fields(request), expected);
    }

    #[test]
    fn an_address_stands_alone() {
        for wrong in
            ["Ana <ana@example.com>", " <ana@example.com>", "<ana@example.com>", "ana@example.com, eve@example.com"]
        {
            let mut request = valid();
            request.customer.as_mut().expect("has one").email = wrong.into();
            assert_eq!(fields(request), ["customer.email"], "{wrong}");
        }
    }

    #[test]
    fn each_limit_holds_exactly() {
        let with_name = |count: usize| {
            let mut request = valid();
            request.items[0].name = "ñ".repeat(count);
            NewOrder::parse(Scope::built_in(), request, delivery()).is_ok()
        };
        assert!(!with_name(0) && with_name(1) && with_name(256) && !with_name(257));
        let with_quantity = |quantity: i32| {
            let mut request = valid();
            request.items[0].quantity = quantity;
            NewOrder::parse(Scope::built_in(), request, delivery()).is_ok()
        };
        assert!(!with_quantity(0) && with_quantity(1) && with_quantity(10_000) && !with_quantity(10_001));
        let with_items = |count: usize| {
            let mut request = valid();
            request.items = vec![request.items[0].clone(); count];
            NewOrder::parse(Scope::built_in(), request, delivery()).is_ok()
        };
        assert!(!with_items(0) && with_items(1) && with_items(100) && !with_items(101));
    }

    #[test]
    fn mixed_currencies_and_totals_that_overflow_are_refused() {
        let mut request = valid();
        request.items.push(request.items[0].clone());
        request.items[1].unit_price = Some(Money { currency_code: "CLP".into(), units: i64::MAX, nanos: 0 });
        assert_eq!(fields(request), ["items", "items"]);
    }

    #[test]
    fn the_hash_ignores_the_request_id_and_sees_everything_else() {
        let hash = |request| {
            NewOrder::parse(Scope::built_in(), request, delivery()).expect("valid").request.expect("has an id").1
        };
        let other_id = CreateOrderRequest { request_id: Uuid::new_v4().to_string(), ..valid() };
        assert_eq!(hash(valid()), hash(other_id));
        let mut other_label = valid();
        other_label.labels.insert("table".into(), "4".into());
        assert_ne!(hash(valid()), hash(other_label));
    }
}
