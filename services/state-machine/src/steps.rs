//! Steps that dispatch asks for: an order gets its courier, or moves on with its courier's job.
//!
//! In: records of the topic `assignments`. Out: transitions, by compare-and-set. A step counts only while its order has the version that the
//! step expects: the one that dispatch decided on, or the one to which dispatch's steps before it lead. This is checked before the workflow is
//! asked: a status may be entered twice, so it does not tell a late step from a new one. A step that comes too late, or that the workflow does
//! not allow, does nothing and is answered by nothing: the record of the order's newer version reaches dispatch, which decides again.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use comanda_kit::{consumer::Handler, kafka::Record, planted, postgres::StoreError, workflows::Workflows};
use comanda_proto::events::AssignmentEvent;
use metrics::counter;
use prost::Message;
use tokio::sync::Notify;
use tracing::warn;
use uuid::Uuid;

use crate::{
    machine::{Command, Decision, decide},
    store::{Asked, Found, Key, Move, State, Store},
};

/// Takes steps.
#[derive(Clone, Debug)]
pub struct Steps {
    store: Store,
    workflows: Workflows,
    /// Notified of transitions: the timers and the relay.
    nudges: [Arc<Notify>; 2],
}

/// A step that a record asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    tenant: String,
    order_id: Uuid,
    to_status: String,
    expected_version: i64,
    request_id: Uuid,
    actor: String,
    reason: String,
}

/// Why a step does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// There is no such order, or it is another tenant's.
    Unknown,
    /// Its request id is bound: this step was taken before.
    Repeated,
    /// The order has another version than the step expects.
    Late,
    /// The workflow has no such step.
    Refused,
}

impl Steps {
    /// `nudges` are notified when orders moved.
    pub fn new(store: Store, workflows: Workflows, nudges: [Arc<Notify>; 2]) -> Self {
        Self { store, workflows, nudges }
    }

    /// Takes steps of different orders.
    async fn take(&self, wanted: Vec<Wanted>) -> Result<(), StoreError> {
        let keys: Vec<_> = wanted.iter().map(Wanted::key).collect();
        let found = self.store.find(&keys).await?;
        let mut moves = Vec::with_capacity(wanted.len());
        for (wanted, found) in wanted.into_iter().zip(found) {
            match self.decide(found, wanted).await? {
                Ok(step) => moves.push(step),
                Err(dropped) => count(dropped.name(), 1),
            }
        }
        if moves.is_empty() { Ok(()) } else { self.apply(&moves).await }
    }

    async fn apply(&self, moves: &[Move]) -> Result<(), StoreError> {
        let decided = moves.len() as u64;
        let taken = self.store.apply(moves).await?.len() as u64;
        count("taken", taken);
        count(Dropped::Late.name(), decided - taken);
        if taken > 0 {
            self.nudges.iter().for_each(|nudge| nudge.notify_one());
        }
        Ok(())
    }

    async fn decide(&self, found: Option<Found>, wanted: Wanted) -> Result<Result<Move, Dropped>, StoreError> {
        let from = match check(&wanted, found) {
            Ok(from) => from,
            Err(dropped) => return Ok(Err(dropped)),
        };
        let workflow = self.workflows.get(&from.workflow, from.workflow_revision).await?;
        let command = Command::Advance { to: Some(wanted.to_status.clone()) };
        match decide(&workflow, &from.status, &command) {
            Decision::Step(step) => {
                let trigger = command.trigger();
                let request = Some(Asked { request_id: wanted.request_id, trigger, status: wanted.to_status });
                Ok(Ok(Move { from, step, trigger, actor: wanted.actor, reason: wanted.reason, request }))
            }
            refused => {
                let Wanted { order_id, to_status, .. } = wanted;
                warn!(%order_id, status = from.status, to_status, "the workflow does not allow the step of dispatch: {refused:?}");
                Ok(Err(Dropped::Refused))
            }
        }
    }
}

/// Whether a step is still to be decided: the order's state then.
fn check(wanted: &Wanted, found: Option<Found>) -> Result<State, Dropped> {
    let Found { state, answered } = found.ok_or(Dropped::Unknown)?;
    if answered.is_some() {
        return Err(Dropped::Repeated);
    }
    if state.version != wanted.expected_version && !planted!("step-without-version") {
        return Err(Dropped::Late);
    }
    Ok(state)
}

fn count(outcome: &'static str, steps: u64) {
    counter!("comanda_steps_total", "outcome" => outcome).increment(steps);
}

impl Dropped {
    fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Repeated => "repeated",
            Self::Late => "late",
            Self::Refused => "refused",
        }
    }
}

impl Wanted {
    fn key(&self) -> Key<'_> {
        Key { tenant: &self.tenant, order_id: self.order_id, request_id: Some(self.request_id) }
    }
}

/// The step that a record asks for, if it asks for one.
fn read(record: &Record) -> Result<Option<Wanted>, StoreError> {
    let unreadable = |what: &str| StoreError::Unreadable(format!("undecodable record: {what}"));
    let event = AssignmentEvent::decode(&*record.payload).map_err(|error| unreadable(&error.to_string()))?;
    let Some(step) = event.step else { return Ok(None) };
    let order_id = Uuid::try_parse(&event.order_id).ok().filter(|order_id| record.order_id() == Some(*order_id));
    if step.to_status.is_empty() || step.expected_version < 1 {
        return Err(unreadable("its step names no status or no version"));
    }
    Ok(Some(Wanted {
        tenant: event.tenant,
        order_id: order_id.ok_or_else(|| unreadable("its key is not the id of its order"))?,
        to_status: step.to_status,
        expected_version: step.expected_version,
        request_id: Uuid::try_parse(&step.request_id)
            .map_err(|_| unreadable("the request id of its step is no UUID"))?,
        actor: event.actor,
        reason: event.reason,
    }))
}

/// The first step of each order, and the others in their order.
fn first_of_each(wanted: Vec<Wanted>) -> (Vec<Wanted>, Vec<Wanted>) {
    let mut seen = HashSet::with_capacity(wanted.len());
    wanted.into_iter().partition(|wanted| seen.insert(wanted.order_id))
}

#[async_trait]
impl Handler for Steps {
    async fn topic_epoch(&self) -> Result<i64, StoreError> {
        self.store.assignments_epoch().await
    }

    async fn apply(&self, _topic_epoch: i64, records: &[Record]) -> Result<(), StoreError> {
        let wanted = records.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut rest: Vec<_> = wanted.into_iter().flatten().collect();
        while !rest.is_empty() {
            let (now, later) = first_of_each(rest);
            self.take(now).await?;
            rest = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::damaged;
    use comanda_proto::{events::Step, v1::Trigger};
    use proptest::{collection::vec, prelude::*};
    use time::OffsetDateTime;

    use super::*;
    use crate::store::Answered;

    fn record(event: &AssignmentEvent) -> Record {
        let (key, payload) = (event.order_id.clone().into_bytes(), event.encode_to_vec());
        Record { topic: "assignments".into(), key, payload, ..Record::default() }
    }

    fn event(order_id: Uuid) -> AssignmentEvent {
        let request_id = Uuid::new_v5(&order_id, b"3").to_string();
        AssignmentEvent {
            order_id: order_id.to_string(),
            version: 3,
            tenant: "default".into(),
            actor: "system:dispatch".into(),
            step: Some(Step { to_status: "confirmed".into(), expected_version: 1, request_id }),
            ..AssignmentEvent::default()
        }
    }

    fn wanted(order_id: Uuid) -> Wanted {
        read(&record(&event(order_id))).expect("valid").expect("has a step")
    }

    fn found(version: i64, is_answered: bool) -> Option<Found> {
        let state = State {
            order_id: Uuid::nil(),
            version,
            status: "requested".into(),
            status_time: OffsetDateTime::UNIX_EPOCH,
            workflow: "ride".into(),
            workflow_revision: 1,
        };
        let asked = Asked { request_id: Uuid::nil(), trigger: Trigger::Advance, status: "confirmed".into() };
        Some(Found { state, answered: is_answered.then_some(Answered { asked, version: 2 }) })
    }

    #[test]
    fn a_step_counts_only_once_and_only_for_the_version_that_was_decided_on() {
        let wanted = wanted(Uuid::now_v7());
        let dropped = |found| check(&wanted, found).map(|state| state.version);
        assert_eq!(dropped(found(1, false)), Ok(1));
        assert_eq!(dropped(found(3, false)), Err(Dropped::Late));
        assert_eq!(dropped(found(1, true)), Err(Dropped::Repeated));
        assert_eq!(dropped(None), Err(Dropped::Unknown));
    }

    #[test]
    fn at_most_one_step_of_an_order_is_taken_at_a_time_and_in_their_order() {
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let at = |order_id: Uuid, expected_version: i64| Wanted { expected_version, ..wanted(order_id) };
        let (now, later) = first_of_each(vec![at(one, 1), at(one, 2), at(other, 1), at(one, 3)]);
        assert_eq!(now, [at(one, 1), at(other, 1)]);
        assert_eq!(later, [at(one, 2), at(one, 3)]);
    }

    #[test]
    fn an_event_without_a_step_asks_for_nothing_and_an_incomplete_step_is_unreadable() {
        let event = event(Uuid::now_v7());
        let without = AssignmentEvent { step: None, ..event.clone() };
        assert_eq!(read(&record(&without)).expect("readable"), None);
        let step = event.step.clone().expect("has one");
        for broken in [
            Step { to_status: String::new(), ..step.clone() },
            Step { expected_version: 0, ..step.clone() },
            Step { request_id: "7".into(), ..step.clone() },
        ] {
            let event = AssignmentEvent { step: Some(broken), ..event.clone() };
            assert!(matches!(read(&record(&event)), Err(StoreError::Unreadable(_))), "{event:?}");
        }
        let of_another = Record { key: Uuid::now_v7().to_string().into_bytes(), ..record(&event) };
        assert!(matches!(read(&of_another), Err(StoreError::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn a_damaged_record_never_moves_another_order(order_id in any::<u128>(), changes in vec(any::<(u16, u8)>(), 1..4)) {
            let order_id = Uuid::from_u128(order_id);
            let whole = record(&event(order_id));
            let payload = damaged(&whole.payload, &changes);
            let step = read(&Record { payload, ..whole.clone() }).ok().flatten();
            prop_assert!(step.is_none_or(|step| step.order_id == order_id));
            let key = damaged(&whole.key, &changes);
            let step = read(&Record { key, ..whole }).ok().flatten();
            prop_assert!(step.is_none_or(|step| step.order_id == order_id));
        }

        #[test]
        fn any_record_can_be_read_without_a_panic(key in vec(any::<u8>(), 0..40), payload in vec(any::<u8>(), 0..100)) {
            let topic = "assignments".into();
            _ = read(&Record { topic, key, payload, ..Record::default() });
        }
    }
}
