use comanda_proto::events::OrderTransition;

use super::*;

const LIMITS: Limits = Limits { count: 3, bytes: 1_000_000, age: Duration::from_secs(600) };

fn event(partition: i32, offset: i64, order: u128, version: i64) -> Arc<Event> {
    let order_id = Uuid::from_u128(order).to_string();
    let transition = OrderTransition { order_id, tenant: "default".into(), version, ..Default::default() };
    Arc::new(Event::of_transition(partition, offset, transition).expect("a transition"))
}

fn ring() -> Ring {
    Ring::new(LIMITS, 1, Offsets::new([0, 0]))
}

#[test]
fn repetitions_are_left_out() {
    let (mut ring, now) = (ring(), Instant::now());
    assert_eq!(ring.push(event(0, 0, 1, 1), now), Some(0));
    assert_eq!(ring.push(event(0, 1, 1, 2), now), Some(1));
    assert_eq!(ring.push(event(0, 2, 1, 1), now), None);
    assert_eq!(ring.push(event(0, 3, 1, 2), now), None);
    assert_eq!(ring.push(event(0, 4, 2, 1), now), Some(2));
    assert_eq!((ring.end(), ring.read()), (3, &Offsets::new([5, 0])));
}

#[test]
fn records_of_a_log_that_went_back_are_left_out() {
    let (mut ring, now) = (ring(), Instant::now());
    assert_eq!(ring.push(event(0, 7, 1, 1), now), Some(0));
    assert_eq!(ring.push(event(0, 0, 1, 2), now), None);
    assert_eq!(ring.read(), &Offsets::new([8, 0]));
}

#[test]
fn what_the_store_told_is_told_again_by_its_record() {
    let (mut ring, now) = (ring(), Instant::now());
    let from_store = |offset, order, version| {
        let mut event = Arc::unwrap_or_clone(event(0, offset, order, version));
        event.from_store = true;
        Arc::new(event)
    };
    assert!(ring.push(event(0, 0, 1, 1), now).is_some());
    assert!(ring.push(from_store(1, 1, 1), now).is_none(), "a record told it");
    assert!(ring.push(from_store(1, 1, 2), now).is_some());
    assert!(ring.push(from_store(1, 1, 2), now).is_none(), "the store told it before");
    assert!(ring.push(event(0, 2, 1, 2), now).is_some());
    assert!(ring.push(event(0, 3, 1, 2), now).is_none());
}

#[test]
fn the_oldest_leave_by_count_and_the_floor_rises() {
    let (mut ring, now) = (ring(), Instant::now());
    for offset in 0..5 {
        ring.push(event(0, offset, 1, offset + 1), now);
    }
    assert_eq!((ring.size().0, ring.end()), (3, 5));
    assert!(ring.get(1).is_none());
    assert_eq!(ring.get(2).map(|event| event.version), Some(3));
    assert_eq!(ring.seek(&Offsets::new([1, 0])), None, "offset 1 has left");
    assert_eq!(ring.seek(&Offsets::new([2, 0])), Some(2));
    assert_eq!(ring.seek(&Offsets::new([4, 0])), Some(4));
    assert_eq!(ring.seek(&Offsets::new([9, 9])), Some(5));
}

#[test]
fn the_oldest_leave_by_size_and_by_age() {
    let now = Instant::now();
    let size_bytes = event(0, 0, 1, 1).size_bytes;
    let mut ring = Ring::new(Limits { bytes: 2 * size_bytes, ..LIMITS }, 1, Offsets::new([0]));
    for order in 0..4 {
        ring.push(event(0, order, 1 + order as u128, 1), now);
    }
    assert_eq!(ring.size(), (2, 2 * size_bytes));
    ring.evict(now + LIMITS.age);
    assert_eq!(ring.size().0, 2, "not older than allowed");
    ring.evict(now + LIMITS.age + Duration::from_millis(1));
    assert_eq!(ring.size(), (0, 0));
    assert_eq!(ring.seek(&Offsets::new([3])), None);
    assert_eq!(ring.seek(&Offsets::new([4])), Some(4));
}

#[test]
fn a_version_whose_first_occurrence_has_left_counts_as_new() {
    let (mut ring, now) = (ring(), Instant::now());
    for order in 1..=4 {
        ring.push(event(0, order, order as u128, 1), now);
    }
    assert!(ring.push(event(0, 5, 1, 1), now).is_some());
    assert!(ring.push(event(0, 6, 4, 1), now).is_none());
}

#[test]
fn what_lies_before_the_start_cannot_be_resumed() {
    let ring = Ring::new(LIMITS, 1, Offsets::new([10, 0]));
    assert_eq!(ring.seek(&Offsets::new([9, 0])), None);
    assert_eq!(ring.seek(&Offsets::new([10, 0])), Some(0));
}

#[test]
fn a_cleared_ring_begins_where_it_was_read_to() {
    let (mut ring, now) = (ring(), Instant::now());
    ring.push(event(0, 0, 1, 1), now);
    ring.clear();
    assert_eq!((ring.size(), ring.end()), ((0, 0), 1));
    assert_eq!(ring.seek(&Offsets::new([0, 0])), None);
    assert_eq!(ring.seek(&Offsets::new([1, 0])), Some(1));
}

#[test]
fn a_place_before_partitions_were_added_still_resumes() {
    let (mut ring, now) = (ring(), Instant::now());
    ring.push(event(0, 0, 1, 1), now);
    ring.add_partitions(&Offsets::new([1, 0, 0]));
    assert_eq!(ring.push(event(2, 0, 1, 2), now), Some(1));
    assert_eq!(ring.seek(&Offsets::new([1, 0])), Some(1));
    assert_eq!(ring.seek(&Offsets::new([0, 0])), Some(0));
    assert_eq!(ring.read(), &Offsets::new([1, 0, 1]));
}
