//! Which orders a WatchOrders stream shows. Pure.

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    page, planted,
};
use comanda_proto::v1::{Order, Phase, WatchFilter};

use super::event::{Event, is_terminal};

/// The most statuses, and the most phases, of a filter.
const MAX_VALUES: usize = 20;
/// The longest customer_id, workflow or status, in characters.
const MAX_CHARS: usize = 64;

/// A checked filter: everything that is given must match, and always the tenant.
#[derive(Clone, Debug)]
pub struct Filter {
    scope: Scope,
    /// Statuses and phases are sorted and without duplicates, so that equal filters have equal hashes.
    wanted: WatchFilter,
    hash: Vec<u8>,
}

impl Filter {
    /// Checks a filter of a caller; `violations` are those of the rest of the request. No filter is the empty one.
    pub fn parse(scope: Scope, filter: Option<WatchFilter>, mut violations: Violations) -> Result<Self, ApiError> {
        let mut wanted = filter.unwrap_or_default();
        check(&wanted, &mut violations);
        violations.check()?;
        wanted.statuses.sort_unstable();
        wanted.statuses.dedup();
        wanted.phases.sort_unstable();
        wanted.phases.dedup();
        Ok(Self { hash: page::filter_hash(&scope, &wanted), scope, wanted })
    }

    /// Hash of tenant and filter, the same on every replica and after a restart.
    pub fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// Whose orders.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The only customer whose orders it can match; empty where there are several.
    pub fn customer_id(&self) -> &str {
        self.scope.customer_id().unwrap_or(&self.wanted.customer_id)
    }

    /// What the caller asked for.
    pub fn wanted(&self) -> &WatchFilter {
        &self.wanted
    }

    /// Whether the stream shows a transition. A status or phase matches when it is entered and when it is left.
    pub fn matches(&self, event: &Event) -> bool {
        (planted!("watch-without-tenant") || self.scope.tenant() == event.tenant)
            && self.scope.reaches_customer(&event.customer_id)
            && matches_text(&self.wanted.customer_id, &event.customer_id)
            && matches_text(&self.wanted.workflow, &event.workflow)
            && (self.admits_status(&event.from_status) || self.admits_status(&event.to_status))
            && (self.admits_phase(event.phase) || event.from_phase().is_some_and(|phase| self.admits_phase(phase)))
    }

    /// Whether an order belongs in a snapshot.
    pub fn shows(&self, order: &Order) -> bool {
        let customer_id = order.customer.as_ref().map_or("", |customer| &customer.customer_id);
        !is_terminal(order.phase)
            && self.scope.reaches_customer(customer_id)
            && matches_text(&self.wanted.customer_id, customer_id)
            && matches_text(&self.wanted.workflow, &order.workflow)
            && self.admits_status(&order.status)
            && self.admits_phase(order.phase)
    }

    /// Whether a snapshot can hold any order at all.
    pub fn admits_active(&self) -> bool {
        self.admits_phase(Phase::Active.into())
    }

    fn admits_status(&self, status: &str) -> bool {
        self.wanted.statuses.is_empty() || self.wanted.statuses.iter().any(|wanted| wanted == status)
    }

    fn admits_phase(&self, phase: i32) -> bool {
        self.wanted.phases.is_empty() || self.wanted.phases.contains(&phase)
    }
}

fn check(wanted: &WatchFilter, violations: &mut Violations) {
    violations.text("filter.customer_id", &wanted.customer_id, 0, MAX_CHARS);
    violations.text("filter.workflow", &wanted.workflow, 0, MAX_CHARS);
    violations.require(wanted.statuses.len() <= MAX_VALUES, "filter.statuses", "must be at most 20");
    for (index, status) in wanted.statuses.iter().enumerate().take(MAX_VALUES) {
        violations.text(format!("filter.statuses[{index}]"), status, 1, MAX_CHARS);
    }
    violations.require(wanted.phases.len() <= MAX_VALUES, "filter.phases", "must be at most 20");
    for (index, phase) in wanted.phases.iter().enumerate().take(MAX_VALUES) {
        let known = Phase::try_from(*phase).is_ok_and(|phase| phase != Phase::Unspecified);
        violations.require(known, format!("filter.phases[{index}]"), "must be a known phase, not PHASE_UNSPECIFIED");
    }
}

fn matches_text(wanted: &str, found: &str) -> bool {
    wanted.is_empty() || wanted == found
}

#[cfg(test)]
mod tests {
    use comanda_kit::access::DEFAULT_TENANT;
    use comanda_proto::{access::Role, events::OrderTransition};
    use uuid::Uuid;

    use super::*;

    fn parse(wanted: WatchFilter) -> Filter {
        Filter::parse(Scope::built_in(), Some(wanted), Violations::default()).expect("a valid filter")
    }

    fn filter(customer_id: &str, workflow: &str, statuses: &[&str]) -> Filter {
        let statuses = statuses.iter().map(ToString::to_string).collect();
        parse(WatchFilter { customer_id: customer_id.into(), workflow: workflow.into(), statuses, phases: Vec::new() })
    }

    fn phases(phases: &[Phase]) -> Filter {
        parse(WatchFilter { phases: phases.iter().map(|phase| i32::from(*phase)).collect(), ..Default::default() })
    }

    fn event(from: &str, to: &str, phase: Phase) -> Event {
        let transition = OrderTransition {
            order_id: Uuid::nil().to_string(),
            tenant: DEFAULT_TENANT.into(),
            version: if from.is_empty() { 1 } else { 2 },
            customer_id: "ana".into(),
            workflow: "delivery".into(),
            from_status: from.into(),
            to_status: to.into(),
            phase: phase.into(),
            ..Default::default()
        };
        Event::of_transition(0, 0, transition).expect("a transition")
    }

    #[test]
    fn every_given_field_must_match() {
        let event = event("received", "preparing", Phase::Active);
        for (customer, workflow, matches) in [
            ("", "", true),
            ("ana", "", true),
            ("ana", "delivery", true),
            ("ana", "ride", false),
            ("bob", "delivery", false),
        ] {
            assert_eq!(filter(customer, workflow, &[]).matches(&event), matches, "{customer} {workflow}");
        }
    }

    #[test]
    fn a_filter_never_matches_another_tenant_and_has_another_hash_there() {
        let other = Scope::new("acme", "owner", Role::Owner);
        let other = Filter::parse(other, None, Violations::default()).expect("a valid filter");
        assert!(!other.matches(&event("received", "preparing", Phase::Active)));
        assert_ne!(other.hash(), filter("", "", &[]).hash());
    }

    #[test]
    fn a_filter_of_a_customer_matches_its_own_orders_alone_whatever_it_asks_for() {
        let ana = |wanted: &str, subject: &str| {
            let wanted = WatchFilter { customer_id: wanted.into(), ..Default::default() };
            let scope = Scope::new(DEFAULT_TENANT, subject, Role::Customer);
            Filter::parse(scope, Some(wanted), Violations::default()).expect("a valid filter")
        };
        let event = event("received", "preparing", Phase::Active);
        for (wanted, subject, matches) in
            [("", "ana", true), ("ana", "ana", true), ("ana", "bob", false), ("", "bob", false)]
        {
            let filter = ana(wanted, subject);
            assert_eq!(filter.matches(&event), matches, "{wanted} {subject}");
            assert_eq!(filter.customer_id(), subject);
        }
        assert_ne!(ana("", "ana").hash(), ana("", "bob").hash());
    }

    #[test]
    fn a_status_matches_when_it_is_entered_and_when_it_is_left() {
        let preparing = filter("", "", &["preparing"]);
        assert!(preparing.matches(&event("received", "preparing", Phase::Active)));
        assert!(preparing.matches(&event("preparing", "dispatched", Phase::Active)));
        assert!(!preparing.matches(&event("dispatched", "delivered", Phase::Succeeded)));
    }

    #[test]
    fn a_phase_matches_when_it_is_entered_and_when_it_is_left() {
        let created = event("", "received", Phase::Active);
        let delivered = event("dispatched", "delivered", Phase::Succeeded);
        let active = phases(&[Phase::Active]);
        assert!(active.matches(&created) && active.matches(&delivered));
        let ended = phases(&[Phase::Succeeded, Phase::Cancelled]);
        assert!(!ended.matches(&created) && ended.matches(&delivered));
        assert!(!phases(&[Phase::Cancelled]).matches(&delivered));
        assert!(active.admits_active() && !ended.admits_active());
    }

    #[test]
    fn a_snapshot_shows_matching_orders_that_have_not_ended() {
        let order =
            |status: &str, phase: Phase| Order { status: status.into(), phase: phase.into(), ..Default::default() };
        let preparing = filter("", "", &["preparing"]);
        assert!(preparing.shows(&order("preparing", Phase::Active)));
        assert!(!preparing.shows(&order("received", Phase::Active)));
        assert!(!filter("", "", &[]).shows(&order("delivered", Phase::Succeeded)));
        assert!(!phases(&[Phase::Succeeded]).shows(&order("delivered", Phase::Succeeded)));
        assert!(!filter("ana", "", &[]).shows(&order("preparing", Phase::Active)));
    }

    #[test]
    fn equal_filters_have_equal_hashes() {
        assert_eq!(filter("", "", &["a", "b", "a"]).hash(), filter("", "", &["b", "a"]).hash());
        assert_ne!(filter("", "", &["a"]).hash(), filter("", "", &["b"]).hash());
        assert_ne!(filter("a", "", &[]).hash(), filter("", "a", &[]).hash());
        assert_eq!(phases(&[Phase::Failed, Phase::Active]).hash(), phases(&[Phase::Active, Phase::Failed]).hash());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let wrong = WatchFilter {
            customer_id: "x".repeat(65),
            workflow: "a\nb".into(),
            statuses: vec!["s".into(), String::new()],
            phases: vec![Phase::Active.into(), 0, 99],
        };
        let too_many = WatchFilter { statuses: vec!["s".into(); 21], phases: vec![1; 21], ..Default::default() };
        for (filter, fields) in [
            (
                wrong,
                &[
                    "filter.customer_id",
                    "filter.workflow",
                    "filter.statuses[1]",
                    "filter.phases[1]",
                    "filter.phases[2]",
                ][..],
            ),
            (too_many, &["filter.statuses", "filter.phases"]),
        ] {
            let error = Filter::parse(Scope::built_in(), Some(filter), Violations::default()).expect_err("an error");
            let error = format!("{error:?}");
            assert!(fields.iter().all(|field| error.contains(field)), "{fields:?} in {error}");
        }
    }
}
