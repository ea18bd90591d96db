//! What all chains ask of the orders, looked up once: a long run has thousands of chains and a hundred thousand orders.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    case::{Case, OrderCase},
    history::RecordContent,
};

/// The orders that have a row.
pub struct Index<'c, 'a> {
    orders: Vec<Known<'c, 'a>>,
    by_id: HashMap<&'a str, usize>,
    by_customer: HashMap<&'a str, Vec<usize>>,
    /// Places in each partition, by their first offset.
    by_partition: HashMap<i32, Vec<(Places, usize)>>,
    strange: HashSet<&'a str>,
}

/// An order.
pub struct Known<'c, 'a> {
    /// Its id.
    pub order_id: &'a str,
    /// All else.
    pub order: &'c OrderCase<'a>,
    /// The tenant that it belongs to.
    pub tenant: &'a str,
    /// Whose it is.
    pub customer_id: &'a str,
    /// When it was first asked for, by the earliest try that may have made it.
    pub sent_us: Option<u64>,
    /// When it was first seen, if by one whose asking is known.
    pub seen_us: Option<u64>,
    /// When it ended.
    pub ended_us: Option<i64>,
    /// Where its versions lie.
    pub places: Vec<Places>,
}

/// Where a version lies.
#[derive(Clone, Copy)]
pub struct Places {
    /// Of the order.
    pub version: i64,
    /// Of the topic.
    pub partition: i32,
    /// The first offset ..
    pub first: i64,
    /// .. and the last.
    pub last: i64,
}

impl<'c, 'a> Index<'c, 'a> {
    /// Of a case.
    pub fn new(case: &'c Case<'a>) -> Self {
        let asked = asked(case);
        let orders: Vec<Known<'c, 'a>> =
            case.orders.iter().filter_map(|(order_id, order)| Known::new(order_id, order, &asked)).collect();
        let (mut by_id, mut by_customer, mut by_partition) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (at, known) in orders.iter().enumerate() {
            by_id.insert(known.order_id, at);
            by_customer.entry(known.customer_id).or_insert_with(Vec::new).push(at);
            for places in &known.places {
                by_partition.entry(places.partition).or_insert_with(Vec::new).push((*places, at));
            }
        }
        by_partition
            .values_mut()
            .for_each(|all: &mut Vec<(Places, usize)>| all.sort_by_key(|(places, _)| places.first));
        let strange = case.strange_records.iter().map(|record| record.key).collect();
        Self { orders, by_id, by_customer, by_partition, strange }
    }

    /// An order.
    pub fn get(&self, order_id: &str) -> Option<&Known<'c, 'a>> {
        self.by_id.get(order_id).map(|at| &self.orders[*at])
    }

    /// Whether a record that nobody can read tells of it.
    pub fn is_strange(&self, order_id: &str) -> bool {
        self.strange.contains(order_id)
    }

    /// The orders of a customer, or all.
    pub fn matching(&self, customer_id: &str) -> Box<dyn Iterator<Item = &Known<'c, 'a>> + '_> {
        if customer_id.is_empty() {
            return Box::new(self.orders.iter());
        }
        let theirs = self.by_customer.get(customer_id).map_or(&[][..], Vec::as_slice);
        Box::new(theirs.iter().map(|at| &self.orders[*at]))
    }

    /// What lies wholly between two offsets of a partition.
    pub fn between(
        &self,
        partition: i32,
        (low, high): (i64, i64),
    ) -> impl Iterator<Item = (&Known<'c, 'a>, Places)> + '_ {
        let all = self.by_partition.get(&partition).map_or(&[][..], Vec::as_slice);
        let from = all.partition_point(|(places, _)| places.first <= low);
        let within = all[from..].iter().take_while(move |(places, _)| places.first < high);
        within.filter(move |(places, _)| places.last < high).map(|(places, at)| (&self.orders[*at], *places))
    }
}

impl<'c, 'a> Known<'c, 'a> {
    fn new(order_id: &'a str, order: &'c OrderCase<'a>, asked: &HashMap<&str, u64>) -> Option<Self> {
        let row = order.row()?;
        let (tenant, customer_id) = (row.tenant.as_str(), row.customer_id.as_str());
        let sent_us = asked.get(customer_id).copied();
        let seen_us = sent_us.and_then(|_| order.sightings.first()).map(|seen| seen.seen_us);
        let ended_us = order.last().filter(|last| last.phase != "active").map(|last| last.time_us);
        Some(Self { order_id, order, tenant, customer_id, sent_us, seen_us, ended_us, places: places(order) })
    }

    /// Whether it was asked for after a time.
    pub fn is_younger_than(&self, from_us: Option<u64>) -> bool {
        from_us.zip(self.sent_us).is_some_and(|(from_us, sent_us)| sent_us > from_us)
    }
}

/// When each customer first asked, by a try that may have made an order.
fn asked<'a>(case: &Case<'a>) -> HashMap<&'a str, u64> {
    let mut asked: HashMap<&str, u64> = HashMap::new();
    for attempt in case.creates.iter().filter(|attempt| attempt.may_have_applied()) {
        let sent_us = asked.entry(&attempt.asked.customer_id).or_insert(attempt.sent_us);
        *sent_us = attempt.sent_us.min(*sent_us);
    }
    asked
}

/// The versions of its history that lie on the topic.
fn places(order: &OrderCase<'_>) -> Vec<Places> {
    let mut all: BTreeMap<i64, Places> = BTreeMap::new();
    for record in &order.transitions {
        let RecordContent::Transition { transition, .. } = record.content else { continue };
        let (version, place) = (transition.version, record.place);
        let first = Places { version, partition: place.partition, first: place.offset, last: place.offset };
        all.entry(version).or_insert(first).last = place.offset;
    }
    all.into_values().filter(|places| order.step(places.version).is_some()).collect()
}
