//! Lists of orders: what is asked for, checked, and how far one call goes.

use std::time::Duration;

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    page,
    postgres::StoreError,
};
use comanda_proto::v1::{ListOrdersRequest, ListOrdersResponse, Order, OrderView, Phase};
use prost_types::Timestamp;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    batch_get::by_id,
    position::{Cursor, first_microsecond},
    room::Room,
    store::{Position, Step, Store, Window},
    view,
};

/// How many orders one call looks at.
const MAX_WALK: usize = 10_000;
/// How many one statement looks at, at most.
const STRIDE: usize = 501;
/// How long one call goes on to look for more.
const WORK: Duration = Duration::from_secs(3);

/// A valid request.
#[derive(Debug)]
pub struct List {
    /// What a page token holds for: the request without page and view.
    filter: ListOrdersRequest,
    /// Whether the caller may reach the orders of the customer that it asks for; else there are none.
    is_reachable: bool,
    window: Window,
    page_size: usize,
    view: OrderView,
}

/// A page, while orders are looked for.
#[derive(Debug, Default)]
struct Page {
    found: Vec<Uuid>,
    room: Room,
    walked: usize,
    /// Of the last order that was looked at.
    position: Option<Position>,
    is_full: bool,
}

impl List {
    /// Checks a request.
    pub fn parse(scope: &Scope, mut request: ListOrdersRequest) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let page_size = page::size(&mut violations, std::mem::take(&mut request.page_size), 50, 500) as usize;
        let view = view::parse(&mut violations, std::mem::take(&mut request.view), OrderView::Basic);
        let page_token = std::mem::take(&mut request.page_token);
        check_filters(&request, &mut violations);
        let from = bound(&request.created_from_time, "created_from_time", &mut violations);
        let before = bound(&request.created_before_time, "created_before_time", &mut violations);
        violations.check()?;
        let asked = (!request.customer_id.is_empty()).then_some(request.customer_id.as_str());
        let customer_id = asked.or(scope.customer_id()).map(str::to_owned);
        let mut window = Window { customer_id, from, below: None };
        if let Some(before) = before {
            window.narrow((before, Uuid::nil()));
        }
        if let Some(cursor) = page::position::<Cursor>(scope, &request, &page_token)? {
            window.narrow(cursor.position().ok_or_else(page::bad_token)?);
        }
        let is_reachable = asked.is_none_or(|customer_id| scope.reaches_customer(customer_id));
        Ok(Self { is_reachable, filter: request, window, page_size, view })
    }

    /// Walks from newest to oldest until the page is full, the list ends, or enough was looked at.
    pub async fn page(mut self, store: &Store, scope: &Scope) -> Result<ListOrdersResponse, ApiError> {
        if !self.is_reachable {
            return Ok(ListOrdersResponse::default());
        }
        let (deadline, stride, mut page) = (Instant::now() + WORK, self.stride(), Page::default());
        let is_last = loop {
            let steps = match store.walk(scope, &self.window, stride as i64).await {
                Ok(steps) => steps,
                // What was found so far is a short page.
                Err(StoreError::TooSlow(_)) if page.walked > 0 => break false,
                Err(error) => return Err(error.into()),
            };
            let count = steps.len();
            steps.into_iter().for_each(|step| page.take(&self, step));
            if page.is_full || count < stride {
                break !page.is_full;
            }
            if page.walked >= MAX_WALK || Instant::now() >= deadline {
                break false;
            }
            self.window.below = page.position;
        };
        let token = page.position.filter(|_| !is_last).map(|position| self.token(scope, position));
        let orders = self.show(store, scope, &page.found).await?;
        Ok(ListOrdersResponse { orders, next_page_token: token.unwrap_or_default() })
    }

    /// Where a filter may leave out most orders, they are walked over in long strides.
    fn stride(&self) -> usize {
        let is_narrow =
            !self.filter.statuses.is_empty() || !self.filter.phases.is_empty() || !self.filter.workflow.is_empty();
        if is_narrow { STRIDE } else { self.page_size + 1 }
    }

    fn matches(&self, workflow: &str, status: &str, phase: i32) -> bool {
        let Self { filter, .. } = self;
        (filter.workflow.is_empty() || filter.workflow == workflow)
            && (filter.statuses.is_empty() || filter.statuses.iter().any(|wanted| wanted == status))
            && (filter.phases.is_empty() || filter.phases.contains(&phase))
    }

    /// The orders that were found, as they are now: one that has changed since may match no more.
    async fn show(&self, store: &Store, scope: &Scope, found: &[Uuid]) -> Result<Vec<Order>, ApiError> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let mut orders = by_id(store.orders(scope, found).await?, self.view)?;
        let shown = found.iter().filter_map(|order_id| orders.remove(order_id));
        Ok(shown.filter(|order| self.matches(&order.workflow, &order.status, order.phase)).collect())
    }

    fn token(&self, scope: &Scope, position: Position) -> String {
        page::token(scope, &self.filter, &Cursor::at(position))
    }
}

impl Page {
    /// Looks at the next order. A full page looks at none.
    fn take(&mut self, list: &List, step: Step) {
        let matches = list.matches(&step.workflow, &step.status, step.phase.into());
        self.is_full = self.is_full || matches && !(self.found.len() < list.page_size && self.room.take(step.bytes));
        if self.is_full {
            return;
        }
        if matches {
            self.found.push(step.order_id);
        }
        self.walked += 1;
        self.position = Some(step.position());
    }
}

fn check_filters(request: &ListOrdersRequest, violations: &mut Violations) {
    violations.require(request.statuses.len() <= 20, "statuses", "must be at most 20");
    for (index, status) in request.statuses.iter().take(20).enumerate() {
        violations.text(format_args!("statuses[{index}]"), status, 1, 63);
    }
    violations.require(request.phases.len() <= 20, "phases", "must be at most 20");
    for (index, phase) in request.phases.iter().enumerate().take(20) {
        let is_known = Phase::try_from(*phase).is_ok_and(|phase| phase != Phase::Unspecified);
        violations.require(is_known, format_args!("phases[{index}]"), "must be a known phase");
    }
    violations.text("customer_id", &request.customer_id, 0, 64);
    violations.text("workflow", &request.workflow, 0, 63);
}

fn bound(time: &Option<Timestamp>, field: &str, violations: &mut Violations) -> Option<OffsetDateTime> {
    let bound = first_microsecond(time.as_ref()?);
    violations.require(bound.is_some(), field, "must be a time between the years 1 and 9999");
    bound
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::wrong_fields;
    use proptest::prelude::*;

    use super::*;

    /// Filters of every kind, valid or not.
    fn request() -> impl Strategy<Value = ListOrdersRequest> {
        let time = || {
            prop::option::of(
                (any::<i64>(), any::<i32>())
                    .prop_map(|(seconds, nanos)| Timestamp { seconds: seconds >> 25, nanos: nanos >> 1 }),
            )
        };
        let text = || prop_oneof![9 => "[a-z]{0,8}", 1 => any::<String>()];
        let (statuses, phases) = (prop::collection::vec(text(), 0..22), prop::collection::vec(0..7, 0..4));
        (text(), text(), statuses, phases, time(), time(), -1..=502, -1..4).prop_map(
            |(customer_id, workflow, statuses, phases, created_from_time, created_before_time, page_size, view)| {
                ListOrdersRequest {
                    page_size,
                    page_token: String::new(),
                    statuses,
                    phases,
                    customer_id,
                    workflow,
                    created_from_time,
                    created_before_time,
                    view,
                }
            },
        )
    }

    fn parse(request: ListOrdersRequest) -> Result<List, ApiError> {
        List::parse(&Scope::built_in(), request)
    }

    /// A token whose hash is right, whatever its position is.
    fn with_token(request: ListOrdersRequest, cursor: &impl prost::Message) -> ListOrdersRequest {
        let filter = ListOrdersRequest { page_size: 0, view: 0, page_token: String::new(), ..request.clone() };
        ListOrdersRequest { page_token: page::token(&Scope::built_in(), &filter, cursor), ..request }
    }

    fn must_be_readable(request: ListOrdersRequest) {
        match parse(request) {
            Ok(List { window, page_size, .. }) => {
                assert!((1..=500).contains(&page_size));
                let times = [window.from, window.below.map(|(time, _)| time)];
                assert!(times.iter().flatten().all(|time| (1..=9999).contains(&time.year())), "{times:?}");
            }
            Err(error) => drop(wrong_fields(error)),
        }
    }

    proptest! {
        #[test]
        fn a_list_is_one_that_the_database_can_read_or_is_refused_by_field(request in request()) {
            must_be_readable(request);
        }

        #[test]
        fn a_forged_token_is_a_position_or_is_refused(request in request(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            must_be_readable(with_token(request.clone(), &bytes));
            must_be_readable(ListOrdersRequest { page_token: String::from_utf8_lossy(&bytes).into_owned(), ..request });
        }

        #[test]
        fn pages_hold_what_fits_and_together_everything_that_matches(
            bytes in prop::collection::vec((0..400_000_i64, any::<bool>()), 0..40), page_size in 1..6
        ) {
            let request = ListOrdersRequest { page_size, workflow: "ride".into(), ..Default::default() };
            let list = parse(request).expect("valid");
            let steps: Vec<_> = bytes.iter().enumerate().map(|(n, (bytes, matches))| step(n, *bytes, *matches)).collect();
            let (mut at, mut found) = (0, Vec::new());
            while at < steps.len() {
                let mut page = Page::default();
                steps[at..].iter().for_each(|step| page.take(&list, step.clone()));
                prop_assert!(page.walked > 0 && page.found.len() <= page_size as usize);
                prop_assert_eq!(page.position, Some(steps[at + page.walked - 1].position()));
                at += page.walked;
                found.extend(page.found);
            }
            let expected: Vec<_> = steps.iter().filter(|step| step.workflow == "ride").map(|step| step.order_id).collect();
            prop_assert_eq!(found, expected);
        }
    }

    fn step(n: usize, bytes: i64, matches: bool) -> Step {
        Step {
            order_id: Uuid::from_u128(n as u128),
            create_time: time::OffsetDateTime::UNIX_EPOCH,
            workflow: if matches { "ride" } else { "delivery" }.into(),
            status: "received".into(),
            phase: 1,
            bytes,
        }
    }

    #[test]
    fn a_token_holds_for_its_filter_and_tenant_whatever_the_page_size_and_the_view() {
        let position = (time::macros::datetime!(2026-11-22 10:00:00.123456 UTC), Uuid::now_v7());
        let request =
            with_token(ListOrdersRequest { workflow: "ride".into(), ..Default::default() }, &Cursor::at(position));
        let other_page = ListOrdersRequest { page_size: 7, view: OrderView::Full.into(), ..request.clone() };
        assert_eq!(parse(other_page).expect("valid").window.below, Some(position));
        let other_filter = ListOrdersRequest { workflow: "delivery".into(), ..request.clone() };
        assert_eq!(wrong_fields(parse(other_filter).expect_err("refused")), ["page_token"]);
        let foreign = Scope::new("acme", "ana", comanda_proto::access::Role::Owner);
        assert_eq!(wrong_fields(List::parse(&foreign, request).expect_err("refused")), ["page_token"]);
    }

    #[test]
    fn an_upper_bound_and_a_token_are_one_bound_the_lower() {
        let position = (time::macros::datetime!(2026-11-22 10:00 UTC), Uuid::max());
        let below = |seconds| {
            let created_before_time = Some(Timestamp { seconds, nanos: 1 });
            let request = ListOrdersRequest { created_before_time, ..Default::default() };
            parse(with_token(request, &Cursor::at(position))).expect("valid").window.below
        };
        assert_eq!(below(position.0.unix_timestamp()), Some(position));
        let earlier = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(1);
        assert_eq!(below(0), Some((earlier, Uuid::nil())));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_named() {
        let request = ListOrdersRequest {
            page_size: -1,
            view: 3,
            phases: vec![99],
            created_from_time: Some(Timestamp { seconds: 0, nanos: -1 }),
            ..Default::default()
        };
        assert_eq!(
            wrong_fields(parse(request).expect_err("refused")),
            ["page_size", "view", "phases[0]", "created_from_time"]
        );
    }
}
