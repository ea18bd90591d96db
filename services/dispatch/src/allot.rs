//! Which waiting order gets which courier. Pure: no I/O and no clock.
//!
//! In: orders, each with the nearest couriers that may have it. Out: pairs, each order and each courier at most once: as many pairs as
//! possible, and of all such choices the one that costs least in total. A single order gets its nearest courier.
//!
//! Orders that have no courier in common, not even over others, are matched apart from each other: costs grow with the cube of their number.

use std::collections::{BTreeMap, HashMap};

use pathfinding::{
    matrix::Matrix,
    prelude::{kuhn_munkres_min, separate_components},
};

use crate::place::CourierKey;

/// What an order costs that gets nobody: more than any way and any wait.
const NOBODY: i64 = 1_000_000_000;
/// What a pair costs that may not be: more than a whole round without couriers, and far from overflowing.
const IMPOSSIBLE: i64 = 1_000_000_000_000_000;
/// The most that a wait counts for, in seconds. Nothing waits longer than it takes to pass everything else.
const MOST_BONUS: i64 = 100_000_000;

/// A courier that may have an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub courier: CourierKey,
    /// Seconds from where it is to the pickup.
    pub seconds: u32,
}

/// An order with those that may have it, nearest first.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// By how many seconds a way may be longer because the order has waited.
    pub bonus: i64,
    /// Who may have it.
    pub candidates: Vec<Candidate>,
}

impl Wish {
    /// What it costs that a candidate gets it.
    fn cost(&self, candidate: &Candidate) -> i64 {
        i64::from(candidate.seconds) - self.bonus.clamp(0, MOST_BONUS)
    }
}

/// An order and the courier that gets it: places in the list of orders, and in the list of its candidates.
pub type Pair = (usize, usize);

/// Chooses.
pub fn allot(wishes: &[Wish]) -> Vec<Pair> {
    let with_any: Vec<_> = (0..wishes.len()).filter(|index| !wishes[*index].candidates.is_empty()).collect();
    let mut pairs: Vec<_> =
        components(wishes, &with_any).into_iter().flat_map(|orders| matched(wishes, &orders)).collect();
    pairs.sort_unstable();
    pairs
}

/// The orders by what connects them: couriers that they have in common.
fn components(wishes: &[Wish], orders: &[usize]) -> Vec<Vec<usize>> {
    let couriers = |order: &usize| wishes[*order].candidates.iter().map(|candidate| &candidate.courier).collect();
    let groups: Vec<Vec<&CourierKey>> = orders.iter().map(couriers).collect();
    let (_, component_of) = separate_components(&groups);
    let mut components = BTreeMap::<_, Vec<_>>::new();
    for (order, component) in orders.iter().zip(component_of) {
        components.entry(component).or_default().push(*order);
    }
    components.into_values().collect()
}

/// The cheapest pairs of orders that are connected.
fn matched(wishes: &[Wish], orders: &[usize]) -> Vec<Pair> {
    if let [order] = orders {
        let nearest =
            (0..wishes[*order].candidates.len()).min_by_key(|index| wishes[*order].candidates[*index].seconds);
        return nearest.map(|candidate| (*order, candidate)).into_iter().collect();
    }
    let columns = columns(wishes, orders);
    // A column more for each order, so that each may be left with nobody.
    let mut costs = Matrix::new(orders.len(), columns.len() + orders.len(), NOBODY);
    for (row, order) in orders.iter().enumerate() {
        (0..columns.len()).for_each(|column| costs[(row, column)] = IMPOSSIBLE);
        for candidate in &wishes[*order].candidates {
            costs[(row, columns[&candidate.courier])] = wishes[*order].cost(candidate);
        }
    }
    let (_, chosen) = kuhn_munkres_min(&costs);
    let pair = |(order, column): (&usize, usize)| {
        let is_chosen = |candidate: &Candidate| columns[&candidate.courier] == column;
        Some((*order, wishes[*order].candidates.iter().position(is_chosen)?))
    };
    orders.iter().zip(chosen).filter_map(pair).collect()
}

/// A column for each courier.
fn columns<'w>(wishes: &'w [Wish], orders: &[usize]) -> HashMap<&'w CourierKey, usize> {
    let mut columns = HashMap::new();
    for candidate in orders.iter().flat_map(|order| &wishes[*order].candidates) {
        let next = columns.len();
        columns.entry(&candidate.courier).or_insert(next);
    }
    columns
}

#[cfg(test)]
mod tests;
