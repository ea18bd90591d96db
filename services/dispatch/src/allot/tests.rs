use std::collections::HashSet;

use proptest::{collection::vec, prelude::*};

use super::*;

fn candidate(courier: u8, seconds: u32) -> Candidate {
    Candidate { courier: CourierKey::new("acme", &courier.to_string()), seconds }
}

fn wish(bonus: i64, candidates: &[(u8, u32)]) -> Wish {
    Wish { bonus, candidates: candidates.iter().map(|(courier, seconds)| candidate(*courier, *seconds)).collect() }
}

/// What a choice costs in total, with the orders that get no courier. Each order and each courier must be there once at most.
fn total(wishes: &[Wish], pairs: &[Pair]) -> i64 {
    let (mut orders, mut couriers) = (HashSet::new(), HashSet::new());
    for (order, index) in pairs {
        assert!(orders.insert(*order), "an order is allotted twice: {pairs:?}");
        assert!(couriers.insert(&wishes[*order].candidates[*index].courier), "a courier gets two: {pairs:?}");
    }
    let paired: i64 = pairs.iter().map(|(order, index)| wishes[*order].cost(&wishes[*order].candidates[*index])).sum();
    paired + (wishes.len() - pairs.len()) as i64 * NOBODY
}

/// Each order in turn gets the nearest courier that is left.
fn greedy(wishes: &[Wish]) -> Vec<Pair> {
    let mut taken = HashSet::new();
    let mut pairs = Vec::new();
    for (order, wish) in wishes.iter().enumerate() {
        let mut by_way: Vec<_> = wish.candidates.iter().enumerate().collect();
        by_way.sort_by_key(|(_, candidate)| candidate.seconds);
        if let Some((index, candidate)) = by_way.into_iter().find(|(_, candidate)| !taken.contains(&candidate.courier))
        {
            taken.insert(&candidate.courier);
            pairs.push((order, index));
        }
    }
    pairs
}

/// The cost of the best of all choices.
fn best(wishes: &[Wish], order: usize, taken: &mut Vec<CourierKey>) -> i64 {
    let Some(wish) = wishes.get(order) else { return 0 };
    let mut least = NOBODY + best(wishes, order + 1, taken);
    for candidate in &wish.candidates {
        if !taken.contains(&candidate.courier) {
            taken.push(candidate.courier.clone());
            least = least.min(wish.cost(candidate) + best(wishes, order + 1, taken));
            taken.pop();
        }
    }
    least
}

fn wishes(orders: usize, couriers: u8) -> impl Strategy<Value = Vec<Wish>> {
    let candidates = proptest::collection::btree_map(0..couriers, 0..5000_u32, 0..=5);
    let wish = (0..600_i64, candidates)
        .prop_map(|(bonus, candidates)| wish(bonus, &candidates.into_iter().collect::<Vec<_>>()));
    vec(wish, 0..=orders)
}

proptest! {
    #[test]
    fn a_choice_is_the_cheapest_of_all(wishes in wishes(6, 6)) {
        prop_assert_eq!(total(&wishes, &allot(&wishes)), best(&wishes, 0, &mut Vec::new()));
    }

    #[test]
    fn a_choice_never_costs_more_than_giving_each_order_in_turn_its_nearest(wishes in wishes(60, 40)) {
        prop_assert!(total(&wishes, &allot(&wishes)) <= total(&wishes, &greedy(&wishes)));
    }
}

#[test]
fn a_single_order_gets_its_nearest_courier() {
    assert_eq!(allot(&[wish(0, &[(1, 90), (2, 60)])]), [(0, 1)]);
}

#[test]
fn an_order_that_nobody_may_have_keeps_no_other_waiting() {
    assert_eq!(allot(&[wish(9000, &[]), wish(0, &[(1, 60)]), wish(0, &[(2, 60)])]), [(1, 0), (2, 0)]);
}

#[test]
fn two_orders_share_two_couriers_so_that_both_ways_together_are_short() {
    // Nearest first would send courier 1 for 10 s and leave 1000 s for courier 2.
    assert_eq!(allot(&[wish(0, &[(1, 10), (2, 20)]), wish(0, &[(1, 15), (2, 1000)])]), [(0, 1), (1, 0)]);
}

#[test]
fn where_couriers_are_few_the_order_that_waited_longer_goes_first() {
    assert_eq!(allot(&[wish(0, &[(1, 60)]), wish(100, &[(1, 90)])]), [(1, 0)]);
    assert_eq!(allot(&[wish(0, &[(1, 60)]), wish(i64::MAX, &[(1, 90)])]), [(1, 0)]);
}

#[test]
fn a_whole_window_without_enough_couriers_is_matched() {
    let wishes: Vec<_> = (0..256).map(|order| wish(order, &[(1, 10), (2, 20), (3, 30)])).collect();
    assert_eq!(allot(&wishes).len(), 3);
}
