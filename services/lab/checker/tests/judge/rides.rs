//! A right history of two rides beside the orders of the calm one: the first is driven to its end; the second is given back by its courier,
//! given to another one, and cancelled.

use std::collections::BTreeMap;

use comanda_checker::history::*;

use crate::story::{END_US, EPOCH_US, STEP_US, Story, TENANT, TOTAL, calm, new_order};

/// The couriers.
pub const ANA: &str = "courier-ana";
pub const BEN: &str = "courier-ben";
/// The streams of Ana's jobs and of the first ride.
pub const JOBS: u64 = 950;
pub const RIDE: u64 = 951;
/// When the second ride is to start: its timer waits for it.
pub const START_US: i64 = EPOCH_US + 9_000_000;

/// A ride's life: its id, and its transitions as (milliseconds, from, to, trigger, request id).
type Moves = [(i64, &'static str, &'static str, &'static str, Option<&'static str>)];

const FIRST: &Moves = &[
    (1200, "", "requested", "create", None),
    (1300, "requested", "confirmed", "advance", Some("step-0-1")),
    (2000, "confirmed", "arriving", "advance", Some("step-0-2")),
    (2500, "arriving", "on_trip", "advance", Some("step-0-3")),
    (3000, "on_trip", "completed", "advance", Some("step-0-4")),
];
const SECOND: &Moves = &[
    (1400, "", "requested", "create", None),
    (1500, "requested", "confirmed", "advance", Some("step-1-1")),
    (1850, "confirmed", "requested", "advance", Some("step-1-2")),
    (3150, "requested", "confirmed", "advance", Some("step-1-3")),
    (3500, "confirmed", "cancelled", "cancel", Some("cancel-1")),
];

pub fn rides() -> Vec<Line> {
    let mut story = Story::default();
    first(&mut story);
    second(&mut story);
    story.add(END_US + 1_000, What::Workflow(workflow()));
    for courier_id in [ANA, BEN] {
        online(&mut story, courier_id);
        let (tenant, courier_id, status) = (TENANT.into(), courier_id.into(), "available".into());
        story.add(END_US + 1_000, What::CourierRow(CourierRow { tenant, courier_id, capacity: 1, status }));
    }
    for (report, key, values) in reports() {
        let values: BTreeMap<_, _> = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let key = key.iter().map(|part| (*part).to_owned()).collect();
        story.add(END_US + 1_000, What::ReportRow(ReportRow { tenant: TENANT.into(), report, key, values }));
    }
    // Calls of this story have numbers that those of the calm one do not have.
    for line in &mut story.lines {
        if let What::Invoke { call, .. } | What::Return { call, .. } = &mut line.what {
            *call += 10_000;
        }
    }
    // Streams of all orders would have to show the rides, too.
    let of_boards = |what: &What| match what {
        What::WatchAll { .. } => true,
        What::Event { stream, .. } | What::StreamEnd { stream, .. } => (900..JOBS).contains(stream),
        _ => false,
    };
    let mut lines: Vec<Line> = calm().into_iter().filter(|line| !of_boards(&line.what)).collect();
    lines.append(&mut story.lines);
    lines.sort_by_key(|line| line.at_us);
    lines
}

fn at(milliseconds: i64) -> i64 {
    EPOCH_US + milliseconds * 1000
}

fn first(story: &mut Story) {
    let id = "ride-0";
    order(story, id, 200, FIRST, None);
    assignment(story, id, 1, ANA, &[1250, 3000], "completed", Some(2500));
    let event = |version, event, ms, to: &str| event_of(id, version, event, ms, 1, ANA, to, version, at(1250));
    let mut events = vec![
        event(1, "allotted", 1250, "confirmed"),
        event(2, "arrived", 1990, "arriving"),
        event(3, "picked_up", 2490, "on_trip"),
        event(4, "completed", 2990, "completed"),
    ];
    events[0].idle_us = Some(200_000);
    events[2].pickup_time_us = Some(at(2500));
    job(story, id, 5, &events);
    watch(story);
}

fn second(story: &mut Story) {
    let id = "ride-1";
    order(story, id, 201, SECOND, Some(START_US));
    story.call(
        3_499_000,
        Op::Move {
            trigger: "cancel".into(),
            order_id: id.into(),
            request_id: Some("cancel-1".into()),
            expected_version: None,
            to_status: None,
        },
        "OK",
        None,
        Some(Answer::Moved { transition: transition(id, SECOND, 5, Some(START_US)), replayed: false }),
    );
    assignment(story, id, 1, BEN, &[1450, 1800], "withdrawn", None);
    assignment(story, id, 2, ANA, &[3100, 3600], "order_moved", None);
    let mut events = vec![
        event_of(id, 1, "allotted", 1450, 1, BEN, "confirmed", 1, at(1450)),
        event_of(id, 2, "released", 1800, 1, BEN, "requested", 2, at(1450)),
        event_of(id, 3, "allotted", 3100, 2, ANA, "confirmed", 3, at(3100)),
        event_of(id, 4, "released", 3600, 2, ANA, "", 0, at(3100)),
    ];
    events[2].idle_us = Some(100_000);
    job(story, id, 5, &events);
}

fn transition(id: &str, moves: &Moves, version: usize, start_us: Option<i64>) -> Transition {
    let (ms, from, to, trigger, _) = moves[version - 1];
    let phase = match to {
        "completed" => "succeeded",
        "cancelled" => "cancelled",
        _ => "active",
    };
    let due = start_us.map_or(at(ms), |start| start.max(at(ms))) + STEP_US;
    Transition {
        order_id: id.into(),
        version: version as i64,
        from: from.into(),
        to: to.into(),
        phase: phase.into(),
        time_us: at(ms),
        trigger: trigger.into(),
        next_time_us: (to == "requested").then_some(due),
        from_time_us: (version > 1).then(|| at(moves[version - 2].0)),
        total: TOTAL.into(),
        item_count: 2,
    }
}

/// What is left of an order, and the call that made it.
fn order(story: &mut Story, id: &str, number: i64, moves: &Moves, start_us: Option<i64>) {
    let asked = NewOrder { workflow: "ride".into(), ..new_order(&format!("customer-{id}"), None) };
    let all: Vec<Transition> = (1..=moves.len()).map(|version| transition(id, moves, version, start_us)).collect();
    let order = Order {
        order_id: id.into(),
        number,
        customer_id: asked.customer_id.clone(),
        digest: asked.digest.clone(),
        total: TOTAL.into(),
        item_count: 2,
        workflow: "ride".into(),
        revision: 1,
        status: "requested".into(),
        phase: "active".into(),
        version: 1,
        create_time_us: all[0].time_us,
        status_time_us: all[0].time_us,
        next_time_us: None,
    };
    let sent_us = (all[0].time_us - EPOCH_US) as u64 - 1_000;
    story.call(sent_us, Op::Create(asked.clone()), "OK", None, Some(Answer::Created { order, replayed: false }));
    let end = END_US + 1_000;
    let last = all[all.len() - 1].clone();
    let (tenant, status, phase, due_time_us) = (TENANT.to_owned(), last.to, last.phase, None);
    let order_id = id.to_owned();
    story.add(
        end,
        What::StateRow { order_id, tenant: tenant.clone(), version: last.version, status, phase, due_time_us },
    );
    story.add(
        end,
        What::OrderRow(OrderRow {
            order_id: id.into(),
            tenant: tenant.clone(),
            number,
            customer_id: asked.customer_id.clone(),
            email: asked.email,
            digest: asked.digest,
            total: TOTAL.into(),
            item_count: 2,
            workflow: "ride".into(),
            revision: 1,
            first_status: "requested".into(),
            create_time_us: all[0].time_us,
            start_time_us: start_us,
        }),
    );
    let placed = RecordContent::Placed {
        order_id: id.into(),
        tenant: tenant.clone(),
        number,
        customer_id: asked.customer_id,
        workflow: "ride".into(),
        revision: 1,
        status: "requested".into(),
        create_time_us: all[0].time_us,
        total: TOTAL.into(),
        item_count: 2,
    };
    story.add(end, record(Topic::Orders, id, 5_000 + number, placed));
    for (transition, moved) in all.into_iter().zip(moves) {
        let offset = 9_000 + number * 10 + transition.version;
        let content = RecordContent::Transition { tenant: tenant.clone(), transition: transition.clone() };
        story.add(end, record(Topic::Transitions, id, offset, content));
        story.add(end, suppressed(&transition));
        let request_id = moved.4.map(Into::into);
        story.add(end, What::TransitionRow { transition, tenant: tenant.clone(), request_id });
    }
}

/// No status of a ride is told by mail here.
fn suppressed(transition: &Transition) -> What {
    What::MailRow {
        order_id: transition.order_id.clone(),
        tenant: TENANT.into(),
        version: transition.version,
        copy: 0,
        state: "suppressed".into(),
        attempts: 0,
        message_id: format!("<{}.{}.0@test>", transition.order_id, transition.version),
        recipient: String::new(),
    }
}

fn record(topic: Topic, id: &str, offset: i64, content: RecordContent) -> What {
    What::Record { topic, log: 1, partition: 0, offset, key: id.into(), tenant: Some(TENANT.into()), content }
}

fn assignment(
    story: &mut Story,
    id: &str,
    attempt: i32,
    courier_id: &str,
    ms: &[i64; 2],
    outcome: &str,
    pickup: Option<i64>,
) {
    let row = AssignmentRow {
        order_id: id.into(),
        attempt,
        tenant: TENANT.into(),
        courier_id: courier_id.into(),
        slot: 1,
        state: "ended".into(),
        outcome: outcome.into(),
        create_time_us: at(ms[0]),
        allot_time_us: Some(at(ms[0])),
        confirm_time_us: Some(at(ms[0] + 60)),
        pickup_time_us: pickup.map(at),
        end_time_us: Some(at(ms[1])),
    };
    story.add(END_US + 1_000, What::AssignmentRow(row));
}

#[allow(clippy::too_many_arguments, reason = "a row of a table")]
fn event_of(
    id: &str,
    version: i64,
    event: &str,
    ms: i64,
    attempt: i32,
    courier_id: &str,
    to: &str,
    expected_version: i64,
    allot_us: i64,
) -> AssignmentEvent {
    let number = id.trim_start_matches("ride-");
    let step = Step { to: to.into(), expected_version, request_id: format!("step-{number}-{version}") };
    AssignmentEvent {
        order_id: id.into(),
        version,
        tenant: TENANT.into(),
        event: event.into(),
        time_us: at(ms),
        attempt,
        courier_id: courier_id.into(),
        workflow: "ride".into(),
        step: (!to.is_empty()).then_some(step),
        promised_pickup_time_us: Some(at(2400)),
        allot_time_us: (event != "allotted").then_some(allot_us),
        pickup_time_us: None,
        idle_us: None,
    }
}

fn job(story: &mut Story, id: &str, order_version: i64, events: &[AssignmentEvent]) {
    let end = END_US + 1_000;
    let (order_id, tenant, event_version) = (id.to_owned(), TENANT.to_owned(), events.len() as i64);
    story.add(end, What::JobRow(JobRow { order_id, tenant, state: 4, order_version, event_version }));
    for (offset, event) in (0..).zip(events) {
        story.add(end, What::AssignmentEventRow(event.clone()));
        let content = RecordContent::Assignment { event: event.clone() };
        // Both rides lie in one partition, one after the other.
        let first = if id == "ride-0" { 0 } else { 100 };
        story.add(end, record(Topic::Assignments, id, first + offset, content));
    }
}

/// Ana's jobs, and the first ride as its customer sees it.
fn watch(story: &mut Story) {
    let (client, tenant, replica) = ("ana".to_owned(), TENANT.to_owned(), "dispatch-0".to_owned());
    let courier_id = ANA.into();
    story.add(1_000_000, What::WatchCourier { stream: JOBS, client, tenant, replica, courier_id });
    let job = |id: &str, attempt| Job { order_id: id.into(), attempt, state: "active".into(), confirmed: true };
    for (ms, revision, jobs) in [
        (1_010, 1, vec![]),
        (1_320, 3, vec![job("ride-0", 1)]),
        (3_010, 6, vec![]),
        (3_170, 8, vec![job("ride-1", 2)]),
        (3_610, 9, vec![]),
    ] {
        story.add(ms * 1000, What::Event { stream: JOBS, event: Event::Jobs { revision, jobs } });
    }
    let (client, tenant, replica) = ("customer".to_owned(), TENANT.to_owned(), "notification-0".to_owned());
    story.add(
        1_201_000,
        What::Watch { stream: RIDE, client, tenant, replica, order_id: "ride-0".into(), after_version: 0 },
    );
    for version in 1..=FIRST.len() {
        let transition = transition("ride-0", FIRST, version, None);
        let at_us = (transition.time_us - EPOCH_US) as u64 + 3_000;
        story.add(at_us, What::Event { stream: RIDE, event: Event::Transition { transition } });
        if (2..=4).contains(&version) {
            let event = Event::Courier { attempt: 1, has_position: true };
            story.add(at_us + 1_000, What::Event { stream: RIDE, event });
        }
    }
    story.add(3_010_000, What::StreamEnd { stream: RIDE, code: "OK".into(), reason: None });
}

fn online(story: &mut Story, courier_id: &str) {
    for (at_us, action) in [
        (900_000, CourierAction::Register),
        (910_000, CourierAction::GoOnline),
        (920_000, CourierAction::Locate),
        (19_000_000, CourierAction::Locate),
    ] {
        let op = Op::Courier { action, courier_id: courier_id.into(), order_id: String::new(), attempt: 0 };
        story.call(at_us, op, "OK", None, Some(Answer::Courier { taken: true }));
    }
}

/// A report, what identifies a row of it, and what the row says.
type Row = (Report, &'static [&'static str], Vec<(&'static str, i64)>);

/// What the calm history and the rides add up to, by hand.
fn reports() -> Vec<Row> {
    use Report::{Couriers, Dwell, Orders, Rates, Revenue};
    vec![
        (Orders, &["delivery", "received"], vec![("entered_count", 4)]),
        (Orders, &["delivery", "preparing"], vec![("entered_count", 4)]),
        (Orders, &["delivery", "dispatched"], vec![("entered_count", 2)]),
        (Orders, &["delivery", "delivered"], vec![("entered_count", 2), ("present_count", 2)]),
        (Orders, &["delivery", "cancelled"], vec![("entered_count", 2), ("present_count", 2)]),
        (Orders, &["ride", "requested"], vec![("entered_count", 3)]),
        (Orders, &["ride", "confirmed"], vec![("entered_count", 3)]),
        (Orders, &["ride", "arriving"], vec![("entered_count", 1)]),
        (Orders, &["ride", "on_trip"], vec![("entered_count", 1)]),
        (Orders, &["ride", "completed"], vec![("entered_count", 1), ("present_count", 1)]),
        (Orders, &["ride", "cancelled"], vec![("entered_count", 1), ("present_count", 1)]),
        (Dwell, &["delivery", "received"], dwell(4, 1_003_000, 1_003_000, 1_003_000)),
        (Dwell, &["delivery", "preparing"], dwell(4, 500_000, 500_000, 500_000)),
        (Dwell, &["delivery", "dispatched"], dwell(2, 1_005_000, 1_005_000, 1_005_000)),
        (Dwell, &["ride", "requested"], dwell(3, 500_000, 100_000, 1_300_000)),
        (Dwell, &["ride", "confirmed"], dwell(3, 466_666, 350_000, 700_000)),
        (Dwell, &["ride", "arriving"], dwell(1, 500_000, 500_000, 500_000)),
        (Dwell, &["ride", "on_trip"], dwell(1, 500_000, 500_000, 500_000)),
        (
            Rates,
            &["delivery"],
            vec![("created_count", 4), ("ended_count", 4), ("succeeded_count", 2), ("cancelled_count", 2)],
        ),
        (
            Rates,
            &["ride"],
            vec![
                ("created_count", 2),
                ("ended_count", 2),
                ("succeeded_count", 1),
                ("cancelled_count", 1),
                ("pickup_count", 1),
                ("on_time_count", 1),
            ],
        ),
        (Revenue, &["delivery", "EUR"], vec![("order_count", 2), ("item_count", 4), ("total_units", 25)]),
        (
            Revenue,
            &["ride", "EUR"],
            vec![("order_count", 1), ("item_count", 2), ("total_units", 12), ("total_nanos", 500_000_000)],
        ),
        (
            Couriers,
            &[ANA],
            vec![
                ("allotted_count", 2),
                ("released_count", 1),
                ("pickup_count", 1),
                ("on_time_count", 1),
                ("completed_count", 1),
                ("mean_pickup_us", 1_250_000),
                ("p50_pickup_us", 1_250_000),
                ("p90_pickup_us", 1_250_000),
                ("idle_us", 300_000),
                ("busy_us", 1_740_000),
            ],
        ),
        (Couriers, &[BEN], vec![("allotted_count", 1), ("released_count", 1)]),
    ]
}

/// In so few, p90 and p99 are alike.
fn dwell(count: i64, mean_us: i64, p50_us: i64, p99_us: i64) -> Vec<(&'static str, i64)> {
    vec![("left_count", count), ("mean_us", mean_us), ("p50_us", p50_us), ("p90_us", p99_us), ("p99_us", p99_us)]
}

fn workflow() -> Workflow {
    let status = |name: &str, phase: &str| Status { name: name.into(), phase: phase.into(), mail: false };
    let edge = |from: &str, to: &str, trigger: &str| {
        let is_timer = trigger == "timer";
        let delay_us = if is_timer { 600 * STEP_US } else { 0 };
        Edge { from: from.into(), to: to.into(), trigger: trigger.into(), delay_us, after_start: is_timer }
    };
    let cancels = ["requested", "confirmed", "arriving"].map(|from| edge(from, "cancelled", "cancel"));
    let advances = [
        ("requested", "confirmed"),
        ("confirmed", "arriving"),
        ("arriving", "on_trip"),
        ("on_trip", "completed"),
        ("confirmed", "requested"),
        ("arriving", "requested"),
    ];
    let advances = advances.map(|(from, to)| edge(from, to, "advance"));
    let timers = [edge("requested", "no_driver", "timer")];
    Workflow {
        name: "ride".into(),
        revision: 1,
        statuses: vec![
            status("requested", "active"),
            status("confirmed", "active"),
            status("arriving", "active"),
            status("on_trip", "active"),
            status("completed", "succeeded"),
            status("cancelled", "cancelled"),
            status("no_driver", "failed"),
        ],
        edges: timers.into_iter().chain(cancels).chain(advances).collect(),
        dispatch: Some(Dispatch {
            wanted_in: vec!["requested".into()],
            allotted: "confirmed".into(),
            arriving: "arriving".into(),
            picked_up: "on_trip".into(),
            completed: "completed".into(),
            given_up: "no_driver".into(),
            withdrawn: "requested".into(),
        }),
    }
}
