//! All that is known of one order.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{AssignmentEvent, AssignmentRow, JobRow, OrderRow, RecordContent, Topic, Transition};

/// What the run and its remains tell of one order.
#[derive(Debug, Default)]
pub struct OrderCase<'a> {
    /// Its rows in `ordering.orders`: one.
    pub rows: Vec<&'a OrderRow>,
    /// Its rows in `state_machine.states`: one.
    pub states: Vec<StateRow<'a>>,
    /// Its history, by version.
    pub steps: Vec<Step<'a>>,
    /// Its records on the topic of orders, by place.
    pub placed: Vec<Occurrence<'a>>,
    /// Its records on the topic of transitions, by place.
    pub transitions: Vec<Occurrence<'a>>,
    /// What an outbox still points at: of which service, and which version.
    pub pointers: Vec<(&'a str, i64)>,
    /// Its mails, by version and copy.
    pub mails: Vec<MailRow<'a>>,
    /// Its row in `dispatch.jobs`.
    pub job: Option<&'a JobRow>,
    /// Its rows in `dispatch.assignments`, by attempt.
    pub assignments: Vec<&'a AssignmentRow>,
    /// Its rows in `dispatch.events`, by version.
    pub assignment_events: Vec<&'a AssignmentEvent>,
    /// Its records on the topic of assignments, by place.
    pub assignment_records: Vec<Occurrence<'a>>,
    /// Request ids that are kept for it, each with the tenant it is kept for.
    pub requests: Vec<(&'a str, &'a str)>,
    /// When clients saw which version of it, by time.
    pub sightings: Vec<Sighting>,
    /// The lines that tell of it, by their place in the history.
    pub lines: Vec<usize>,
}

/// A row of the history.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The transition.
    pub transition: &'a Transition,
    /// Whose it is, by its row.
    pub tenant: &'a str,
    /// The command that made it.
    pub request_id: Option<&'a str>,
}

/// The row of an order's state.
#[derive(Clone, Copy, Debug)]
pub struct StateRow<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// Its version.
    pub version: i64,
    /// Its status.
    pub status: &'a str,
    /// Its phase.
    pub phase: &'a str,
    /// When its timer is due.
    pub due_time_us: Option<i64>,
}

/// A row of the mail ledger.
#[derive(Clone, Copy, Debug)]
pub struct MailRow<'a> {
    /// Whose it is.
    pub tenant: &'a str,
    /// The transition that it tells.
    pub version: i64,
    /// 0 for the mail itself.
    pub copy: i32,
    /// `due`, `sending`, `sent`, `dead` or `suppressed`.
    pub state: &'a str,
    /// How often it was tried.
    pub attempts: i32,
    /// Its Message-ID.
    pub message_id: &'a str,
    /// To whom.
    pub recipient: &'a str,
}

/// Where a record lies; ordered as a reader of one partition meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which log of the topic.
    pub log: u32,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record that tells of an order.
#[derive(Clone, Copy, Debug)]
pub struct Occurrence<'a> {
    /// Where it lies.
    pub place: Place,
    /// Its key.
    pub key: &'a str,
    /// Its header `ce_tenant`.
    pub tenant: Option<&'a str>,
    /// What it says.
    pub content: &'a RecordContent,
}

/// A client saw a version.
#[derive(Clone, Copy, Debug)]
pub struct Sighting {
    /// When a question was sent that is answered with the order as it is then; none where it is only news.
    pub asked_us: Option<u64>,
    /// When the answer was there.
    pub seen_us: u64,
    /// The version.
    pub version: i64,
}

impl<'a> OrderCase<'a> {
    /// Its row, where there is one.
    pub fn row(&self) -> Option<&'a OrderRow> {
        self.rows.first().copied()
    }

    /// Whether the database knows nothing of it. What it knows of an order without a row is told by C2.
    pub fn is_nothing(&self) -> bool {
        self.rows.is_empty() && self.steps.is_empty()
    }

    /// The transition of a version, as its history has it.
    pub fn step(&self, version: i64) -> Option<&'a Transition> {
        let found = self.steps.binary_search_by_key(&version, |step| step.transition.version);
        found.ok().map(|at| self.steps[at].transition)
    }

    /// The last transition of its history.
    pub fn last(&self) -> Option<&'a Transition> {
        self.steps.last().map(|step| step.transition)
    }

    /// Whether dispatch asked for the step with this request id.
    pub fn asked_by_dispatch(&self, request_id: &str) -> bool {
        let mut steps = self.assignment_events.iter().filter_map(|event| event.step.as_ref());
        steps.any(|step| step.request_id == request_id)
    }

    /// Each version with the one that follows it.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a Transition, &'a Transition)> + '_ {
        let pairs = self.steps.windows(2).map(|pair| (pair[0].transition, pair[1].transition));
        pairs.filter(|(before, now)| now.version == before.version + 1)
    }

    /// Whether a client had seen this version, or a later one, before a time.
    pub fn seen_before(&self, at_us: u64, version: i64) -> bool {
        self.sightings.iter().any(|sighting| sighting.seen_us < at_us && sighting.version >= version)
    }

    /// The records of transitions, log by log.
    pub fn logs(&self) -> BTreeMap<u32, Vec<(Place, &'a str, &'a Transition)>> {
        let mut logs: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for Occurrence { place, key, content, .. } in &self.transitions {
            if let RecordContent::Transition { transition, .. } = content {
                logs.entry(place.log).or_default().push((*place, *key, transition));
            }
        }
        logs
    }

    /// How many events of a topic tell of it, each log counted by itself, and in how many records.
    pub fn events_and_records(&self, topic: Topic) -> (usize, usize) {
        if topic == Topic::Orders {
            let logs: BTreeSet<u32> = self.placed.iter().map(|record| record.place.log).collect();
            return (logs.len(), self.placed.len());
        }
        let of_log = self.logs().into_values().map(|records| {
            let versions: BTreeSet<i64> = records.iter().map(|(.., transition)| transition.version).collect();
            (versions.len(), records.len())
        });
        of_log.fold((0, 0), |sum, (events, records)| (sum.0 + events, sum.1 + records))
    }
}
