//! A history put in order: by order, call, stream, fault and topic, as the judges ask for it.

mod attempt;
mod builder;
mod courier;
mod fault;
mod order;
mod outside;
mod stream;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use attempt::{Attempt, Identity, Move, Outcome, Read};
pub use courier::CourierCall;
pub use fault::Fault;
pub use order::{MailRow, Occurrence, OrderCase, Place, Sighting, StateRow, Step};
pub use outside::{Delivery, Strange};
pub use stream::{Kind, Stream};

use crate::history::{CourierRow, Line, NewOrder, Order, ReportRow, Run, Topic, Transition, What, Workflow};

/// All that is known of a run. Borrows the lines it was made of.
#[derive(Debug, Default)]
pub struct Case<'a> {
    /// All lines, as they were told.
    pub lines: &'a [Line],
    /// Which run it is.
    pub run: Option<&'a Run>,
    /// Every order that anything tells of, by id.
    pub orders: BTreeMap<&'a str, OrderCase<'a>>,
    /// Every try to create an order; each order of a batch is one.
    pub creates: Vec<Attempt<'a, &'a NewOrder, &'a Order>>,
    /// Every command.
    pub moves: Vec<Attempt<'a, Move<'a>, &'a Transition>>,
    /// Every look at one order.
    pub reads: Vec<Read<'a>>,
    /// Every call to dispatch.
    pub courier_calls: Vec<CourierCall<'a>>,
    /// Couriers by tenant and id.
    pub couriers: BTreeMap<(&'a str, &'a str), &'a CourierRow>,
    /// What analytics reported at the end.
    pub reports: Vec<&'a ReportRow>,
    /// Every stream, by its number, so in the order of their opening.
    pub streams: BTreeMap<u64, Stream<'a>>,
    /// Every fault, also those that could not be made: they may have had effects.
    pub faults: Vec<Fault<'a>>,
    /// Rows of kept requests: the orders of each tenant and request id.
    pub requests: HashMap<(&'a str, &'a str), Vec<&'a str>>,
    /// Workflows by name and revision.
    pub workflows: HashMap<(&'a str, i32), &'a Workflow>,
    /// Mails that came in, by Message-ID.
    pub mails: BTreeMap<&'a str, Vec<Delivery<'a>>>,
    /// Records that are no message of the system.
    pub strange_records: Vec<Strange<'a>>,
    /// How many logs each topic has had.
    pub logs: BTreeMap<Topic, u32>,
    /// For each transition on a stream of many orders: its time on the run's clock, and when it or a later one was first seen; sorted by the
    /// former. Such streams read from Kafka; a stream of one order begins with what the database has.
    pub told: Vec<(u64, u64)>,
    /// When pointers were put back on purpose.
    pub republished: Vec<u64>,
    /// When the last fault had ended and clients were told to stop.
    pub last_heal_us: Option<u64>,
    /// When everything had come to rest.
    pub drained_us: Option<u64>,
    /// When the last line of the run was told.
    pub end_us: u64,
    /// Whether anything tells what was left at the end.
    pub dumped: bool,
    /// At most this much is the database's clock ahead of the run's, in microseconds.
    pub lead_us: Option<i64>,
}

impl<'a> Case<'a> {
    /// An order, where anything is known of it.
    pub fn order(&self, order_id: &str) -> Option<&OrderCase<'a>> {
        self.orders.get(order_id)
    }

    /// The orders that were answered OK.
    pub fn accepted(&self) -> BTreeSet<&'a str> {
        self.creates.iter().filter_map(|attempt| Some(attempt.shown()?.order_id.as_str())).collect()
    }

    /// Events of a topic, and records that repeat one in the same log.
    pub fn repeats(&self, topic: Topic) -> (u64, u64) {
        let per_order = self.orders.values().map(|order| order.events_and_records(topic));
        let (events, records) = per_order.fold((0, 0), |sum, (events, records)| (sum.0 + events, sum.1 + records));
        (events as u64, (records - events) as u64)
    }

    /// Faults that count.
    pub fn made_faults(&self) -> impl Iterator<Item = &Fault<'a>> {
        self.faults.iter().filter(|fault| fault.made)
    }

    /// Whether no fault was tried.
    pub fn calm(&self) -> bool {
        self.faults.is_empty()
    }

    /// Whether everything had come to rest, so that what was left is the end and not a moment.
    pub fn drained(&self) -> bool {
        self.drained_us.is_some()
    }

    /// Whether nothing moved any more before everything had come to rest.
    pub fn stuck(&self) -> bool {
        self.pick(|line| matches!(line.what, What::Stuck { .. }).then_some(())).next().is_some()
    }

    /// Faults that lasted into a time.
    pub fn faults_within(&self, from_us: u64, to_us: u64) -> impl Iterator<Item = &Fault<'a>> {
        self.faults.iter().filter(move |fault| fault.from_us <= to_us && fault.to_us >= from_us)
    }

    /// The workflow of an order, where both are there.
    pub fn workflow(&self, order: &OrderCase<'a>) -> Option<&'a Workflow> {
        let row = order.row()?;
        self.workflows.get(&(row.workflow.as_str(), row.revision)).copied()
    }

    /// The run's clock at a time of the database's, as far as they are known to differ.
    pub fn run_us(&self, time_us: i64) -> u64 {
        u64::try_from(time_us - self.lead_us.unwrap_or_default()).unwrap_or_default()
    }

    /// When a client first saw, through Kafka, a transition that was made after `at_us`; none where no client did.
    pub fn told_after(&self, at_us: u64) -> Option<u64> {
        let place = self.told.partition_point(|(made_us, _)| *made_us <= at_us);
        self.told.get(place).map(|(_, shown_us)| *shown_us)
    }

    /// Lines of a sort that needs no index.
    pub fn pick<T>(&self, pick: impl Fn(&'a Line) -> Option<T>) -> impl Iterator<Item = T> {
        self.lines.iter().filter_map(pick)
    }

    /// Whether a line was found at the end instead of having happened.
    pub fn is_dump(what: &What) -> bool {
        use What::*;
        matches!(
            what,
            Workflow(_)
                | OrderRow(_)
                | RequestRow { .. }
                | StateRow { .. }
                | TransitionRow { .. }
                | OutboxRow { .. }
                | MailRow { .. }
                | CourierRow(_)
                | JobRow(_)
                | AssignmentRow(_)
                | AssignmentEventRow(_)
                | ReportRow(_)
                | DeadLetterRow { .. }
                | Record { .. }
                | Lag { .. }
                | Health { .. }
                | Counter { .. }
        )
    }
}
