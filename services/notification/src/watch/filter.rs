//! Which orders a watch is about. Pure.

use comanda_kit::{
    errors::{ApiError, Violations},
    page,
};
use comanda_proto::v1::{Order, WatchFilter};

use super::{
    event::{Event, is_terminal},
    token::FilterHash,
};

const MOST_STATUSES: usize = 20;
const MOST_CHARS: usize = 64;

/// A checked filter: all that is given must hold.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Statuses are sorted and given once each, so that equal filters have equal hashes.
    wanted: WatchFilter,
    hash: FilterHash,
}

impl Filter {
    /// Checks a filter; none is the empty one.
    pub fn parse(filter: Option<WatchFilter>) -> Result<Self, ApiError> {
        let mut wanted = filter.unwrap_or_default();
        let mut violations = Violations::default();
        violations.text("filter.customer_id", &wanted.customer_id, 0, MOST_CHARS);
        violations.text("filter.workflow", &wanted.workflow, 0, MOST_CHARS);
        violations.require(wanted.statuses.len() <= MOST_STATUSES, "filter.statuses", "must be at most 20");
        for (index, status) in wanted.statuses.iter().enumerate().take(MOST_STATUSES) {
            violations.text(format!("filter.statuses[{index}]"), status, 1, MOST_CHARS);
        }
        violations.check()?;
        wanted.statuses.sort_unstable();
        wanted.statuses.dedup();
        Ok(Self { hash: page::filter_hash(&wanted), wanted })
    }

    /// Stable over replicas and restarts.
    pub fn hash(&self) -> FilterHash {
        self.hash
    }

    /// What is asked for, for the store.
    pub fn wanted(&self) -> &WatchFilter {
        &self.wanted
    }

    /// Whether a transition belongs into the watch. A status counts whether it is entered or left.
    pub fn matches(&self, event: &Event) -> bool {
        given(&self.wanted.customer_id, &event.customer_id)
            && given(&self.wanted.workflow, &event.workflow)
            && (self.admits(&event.from_status) || self.admits(&event.to_status))
    }

    /// Whether an order belongs into a snapshot.
    pub fn shows(&self, order: &Order) -> bool {
        let customer_id = order.customer.as_ref().map_or("", |customer| &customer.customer_id);
        !is_terminal(order.phase)
            && given(&self.wanted.customer_id, customer_id)
            && given(&self.wanted.workflow, &order.workflow)
            && self.admits(&order.status)
    }

    fn admits(&self, status: &str) -> bool {
        self.wanted.statuses.is_empty() || self.wanted.statuses.iter().any(|wanted| wanted == status)
    }
}

fn given(wanted: &str, found: &str) -> bool {
    wanted.is_empty() || wanted == found
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{OrderTransition, Phase};
    use uuid::Uuid;

    use super::*;
    use crate::watch::event::Place;

    fn filter(customer_id: &str, workflow: &str, statuses: &[&str]) -> Filter {
        let statuses = statuses.iter().map(ToString::to_string).collect();
        Filter::parse(Some(WatchFilter { customer_id: customer_id.into(), workflow: workflow.into(), statuses }))
            .expect("a valid filter")
    }

    fn event(from: &str, to: &str) -> Event {
        let transition = OrderTransition {
            order_id: Uuid::nil().to_string(),
            version: 2,
            customer_id: "ana".into(),
            workflow: "delivery".into(),
            from_status: from.into(),
            to_status: to.into(),
            ..Default::default()
        };
        Event::of_transition(Place::of_record(0, 0), transition).expect("a transition")
    }

    #[test]
    fn all_that_is_given_must_hold() {
        let event = event("received", "preparing");
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
    fn a_status_is_seen_when_it_is_entered_and_when_it_is_left() {
        let preparing = filter("", "", &["preparing"]);
        assert!(preparing.matches(&event("received", "preparing")));
        assert!(preparing.matches(&event("preparing", "dispatched")));
        assert!(!preparing.matches(&event("dispatched", "delivered")));
    }

    #[test]
    fn a_snapshot_shows_what_is_in_the_status_and_has_not_ended() {
        let order =
            |status: &str, phase: Phase| Order { status: status.into(), phase: phase.into(), ..Default::default() };
        let preparing = filter("", "", &["preparing"]);
        assert!(preparing.shows(&order("preparing", Phase::Active)));
        assert!(!preparing.shows(&order("received", Phase::Active)));
        assert!(!filter("", "", &[]).shows(&order("delivered", Phase::Succeeded)));
        assert!(!filter("ana", "", &[]).shows(&order("preparing", Phase::Active)));
    }

    #[test]
    fn equal_filters_have_equal_hashes() {
        assert_eq!(filter("", "", &["a", "b", "a"]).hash(), filter("", "", &["b", "a"]).hash());
        assert_ne!(filter("", "", &["a"]).hash(), filter("", "", &["b"]).hash());
        assert_ne!(filter("a", "", &[]).hash(), filter("", "a", &[]).hash());
    }

    #[test]
    fn every_offending_field_is_named() {
        let statuses = vec![String::new(); 21];
        let wrong = WatchFilter { customer_id: "x".repeat(65), workflow: "a\nb".into(), statuses };
        let error = format!("{:?}", Filter::parse(Some(wrong)).expect_err("an error"));
        for field in ["filter.customer_id", "filter.workflow", "filter.statuses", "filter.statuses[0]"] {
            assert!(error.contains(field), "{field} in {error}");
        }
    }
}
