//! Makes histories: a right one of a few orders, which tests then break.

use comanda_checker::history::*;

/// The database's clock when the run began.
pub const EPOCH_US: i64 = 1_790_000_000_000_000;
/// Whose orders they are, and what each of them costs.
pub const TENANT: &str = "default";
pub const TOTAL: &str = "EUR 12.500000000";
/// The delay of each timer.
pub const STEP_US: i64 = 1_000_000;
/// When the last fault is healed, when all has come to rest, and when the last reader leaves.
pub const LAST_HEAL_US: u64 = 8_000_000;
pub const DRAINED_US: u64 = 9_000_000;
pub const END_US: u64 = 20_000_000;

/// One order's life.
pub struct Life {
    pub id: String,
    pub number: i64,
    pub asked: NewOrder,
    /// Its transitions, each with the command that made it.
    pub steps: Vec<(Transition, Option<String>)>,
}

/// Lines in the making.
#[derive(Default)]
pub struct Story {
    pub lines: Vec<Line>,
    number: u64,
}

/// A right history of four orders in a run without faults.
pub fn calm() -> Vec<Line> {
    let mut story = Story::default();
    story.add(0, What::Run(run()));
    let lives: Vec<Life> = (0..4).map(life).collect();
    story.creates(&lives);
    lives.iter().for_each(|life| story.clients(life));
    story.boards(&lives);
    story.rest();
    story.remains(&lives);
    story.lines.sort_by_key(|line| line.at_us);
    story.lines
}

pub fn run() -> Run {
    Run {
        seed: 7,
        profile: "test".into(),
        commit: "none".into(),
        least_orders: 4,
        least_faults: 0,
        least_fault_kinds: 0,
        least_moves: 4,
        least_shown: 16,
        least_jobs: 0,
        drain_ms: 60_000,
        most_rss_bytes: 1 << 30,
        mails: true,
        step_us: Some(STEP_US),
    }
}

/// Orders 0 and 2 are advanced once and delivered; 1 and 3 are cancelled.
fn life(place: u64) -> Life {
    let id = format!("order-{place}");
    let request_id = (place != 1).then(|| format!("request-{place}"));
    let asked = new_order(&format!("customer-{place}"), request_id);
    let t1 = EPOCH_US + 1_000_000 + place as i64 * 100_000;
    let (t2, t3) = (t1 + STEP_US + 3_000, t1 + STEP_US + 503_000);
    let entered = [0, t1, t2, t3];
    let step = |version: i64, from: &str, to: &str, trigger: &str, time_us| {
        let active = matches!(to, "received" | "preparing" | "dispatched");
        let phase = if active {
            "active"
        } else if to == "delivered" {
            "succeeded"
        } else {
            "cancelled"
        };
        let next_time_us = active.then_some(time_us + STEP_US);
        let (order_id, phase) = (id.clone(), phase.into());
        Transition {
            order_id,
            version,
            from: from.into(),
            to: to.into(),
            phase,
            time_us,
            trigger: trigger.into(),
            next_time_us,
            from_time_us: (version > 1).then(|| entered[version as usize - 1]),
            total: TOTAL.into(),
            item_count: 2,
        }
    };
    let mut steps =
        vec![(step(1, "", "received", "create", t1), None), (step(2, "received", "preparing", "timer", t2), None)];
    let command = Some(format!("command-{place}"));
    if place.is_multiple_of(2) {
        steps.push((step(3, "preparing", "dispatched", "advance", t3), command));
        steps.push((step(4, "dispatched", "delivered", "timer", t3 + STEP_US + 5_000), None));
    } else {
        steps.push((step(3, "preparing", "cancelled", "cancel", t3), command));
    }
    Life { id, number: 100 + place as i64, asked, steps }
}

pub fn new_order(customer_id: &str, request_id: Option<String>) -> NewOrder {
    NewOrder {
        request_id,
        customer_id: customer_id.into(),
        email: format!("{customer_id}@example.com"),
        workflow: "delivery".into(),
        digest: format!("digest of {customer_id}"),
    }
}

impl Life {
    /// The order as it was at a version.
    pub fn at(&self, version: usize) -> Order {
        let now = &self.steps[version - 1].0;
        Order {
            order_id: self.id.clone(),
            number: self.number,
            customer_id: self.asked.customer_id.clone(),
            digest: self.asked.digest.clone(),
            total: TOTAL.into(),
            item_count: 2,
            workflow: "delivery".into(),
            revision: 1,
            status: now.to.clone(),
            phase: now.phase.clone(),
            version: now.version,
            create_time_us: self.steps[0].0.time_us,
            status_time_us: now.time_us,
            // Nobody has looked at a new order yet.
            next_time_us: now.next_time_us.filter(|_| version > 1),
        }
    }

    /// When a version came to be, by the run's clock.
    pub fn time_us(&self, version: usize) -> u64 {
        (self.steps[version - 1].0.time_us - EPOCH_US) as u64
    }
}

impl Story {
    pub fn add(&mut self, at_us: u64, what: What) {
        self.lines.push(Line { at_us, what });
    }

    /// A call that takes 2 ms.
    pub fn call(&mut self, at_us: u64, op: Op, code: &str, reason: Option<&str>, answer: Option<Answer>) {
        self.number += 1;
        let call = self.number;
        self.add(
            at_us,
            What::Invoke { call, client: "client".into(), tenant: TENANT.into(), replica: "ordering-0".into(), op },
        );
        let (code, reason) = (code.into(), reason.map(Into::into));
        self.add(at_us + 2_000, What::Return { call, code, reason, answer });
    }

    /// Order 0 by a call that is cut, repeated, and tried with another content; 1 without request id; 2 and 3 in a batch.
    fn creates(&mut self, lives: &[Life]) {
        let at_us = lives[0].time_us(1) - 1_000;
        let mut changed = lives[0].asked.clone();
        changed.digest = "digest of something else".into();
        self.call(at_us, Op::Create(lives[0].asked.clone()), "CANCELLED", None, None);
        let again = Answer::Created { order: lives[0].at(1), replayed: true };
        self.call(at_us + 20_000, Op::Create(lives[0].asked.clone()), "OK", None, Some(again));
        self.call(at_us + 30_000, Op::Create(changed), "INVALID_ARGUMENT", Some("IDEMPOTENCY_MISMATCH"), None);
        let answer = Answer::Created { order: lives[1].at(1), replayed: false };
        self.call(lives[1].time_us(1) - 1_000, Op::Create(lives[1].asked.clone()), "OK", None, Some(answer));
        let refused = new_order("customer-refused", Some("request-refused".into()));
        let result = |life: &Life| BatchResult { code: "OK".into(), order: Some(life.at(1)), replayed: false };
        let none = BatchResult { code: "INVALID_ARGUMENT".into(), order: None, replayed: false };
        let results = vec![result(&lives[2]), none, result(&lives[3])];
        let orders = vec![lives[2].asked.clone(), refused, lives[3].asked.clone()];
        let at_us = lives[2].time_us(1) - 1_000;
        self.call(at_us, Op::CreateBatch { orders }, "OK", None, Some(Answer::Batch { results }));
        // The batch is answered when its last order is there.
        self.lines.last_mut().expect("the answer").at_us += 100_000;
    }

    /// Commands, reads, mails and a watch that is interrupted after version 2.
    fn clients(&mut self, life: &Life) {
        let (transition, request_id) = life.steps[2].clone();
        let op = Op::Move {
            trigger: transition.trigger.clone(),
            order_id: life.id.clone(),
            request_id,
            expected_version: Some(2),
            to_status: None,
        };
        let at_us = life.time_us(3) - 1_000;
        let answer = |replayed| Some(Answer::Moved { transition: transition.clone(), replayed });
        self.call(at_us, op.clone(), "OK", None, answer(false));
        self.call(at_us + 10_000, op.clone(), "OK", None, answer(true));
        let Op::Move { trigger, order_id, to_status, .. } = op else { unreachable!("made above") };
        let late =
            Op::Move { trigger, order_id, request_id: Some("late".into()), expected_version: Some(2), to_status };
        self.call(at_us + 20_000, late, "ABORTED", Some("VERSION_MISMATCH"), None);
        for version in 1..=life.steps.len() {
            self.reads(life, version);
            let (message_id, recipients) = (message_id(life, version), vec![life.asked.email.clone()]);
            self.add(life.time_us(version) + 50_000, What::Mail { message_id, recipients, reply: 250 });
        }
        self.watch(life);
    }

    fn reads(&mut self, life: &Life, version: usize) {
        let (at_us, order_id) = (life.time_us(version) + 130_000, life.id.clone());
        let answer = Answer::Order { order: life.at(version) };
        self.call(at_us, Op::Get { order_id: order_id.clone() }, "OK", None, Some(answer));
        let transitions = life.steps[..version].iter().map(|step| step.0.clone()).collect();
        self.call(at_us + 5_000, Op::History { order_id }, "OK", None, Some(Answer::History { transitions }));
    }

    fn watch(&mut self, life: &Life) {
        let last = life.steps.len();
        let (first, second) = (self.number + 1, self.number + 2);
        self.number += 2;
        let mut at_us = life.time_us(1) + 120_000;
        for (stream, after, until) in [(first, 0, 2), (second, 2, last)] {
            let (client, replica, order_id) = ("client".into(), "notification-0".into(), life.id.clone());
            let tenant = TENANT.into();
            self.add(at_us, What::Watch { stream, client, tenant, replica, order_id, after_version: after as i64 });
            for version in after + 1..=until {
                let event = Event::Transition { transition: life.steps[version - 1].0.clone() };
                self.add(at_us.max(life.time_us(version)) + 4_000, What::Event { stream, event });
            }
            let current = after.max(1);
            self.add(at_us + 5_000, What::Event { stream, event: Event::Current { order: life.at(current) } });
            let code = if until == last { "OK" } else { "UNAVAILABLE" };
            at_us = life.time_us(until) + 60_000;
            self.add(at_us, What::StreamEnd { stream, code: code.into(), reason: None });
            at_us += 1_000;
        }
    }

    /// Two chains over all orders: stream 900 from the beginning, resumed as 901; stream 902 with a snapshot.
    fn boards(&mut self, lives: &[Life]) {
        let cut_us = 2_300_000;
        self.board(900, 500_000, Start::Now);
        self.event(900, 501_000, Event::Heartbeat { version: 0 });
        self.add(cut_us, What::StreamEnd { stream: 900, code: "UNAVAILABLE".into(), reason: None });
        self.board(901, cut_us + 1_000, Start::Token { of: 900 });
        self.event(901, cut_us + 1_001, Event::Heartbeat { version: 0 });
        self.board(902, cut_us, Start::Snapshot);
        for life in lives {
            let now = (1..=life.steps.len()).rfind(|&version| life.time_us(version) < cut_us).expect("all are created");
            self.event(902, cut_us + 1_000, Event::Current { order: life.at(now) });
            for version in 1..=life.steps.len() {
                let event = Event::Transition { transition: life.steps[version - 1].0.clone() };
                let at_us = life.time_us(version) + 5_000;
                let after_cut = life.time_us(version) > cut_us;
                self.event(if at_us < cut_us { 900 } else { 901 }, at_us.max(cut_us.min(at_us) + 2), event.clone());
                if after_cut {
                    self.event(902, at_us, event);
                }
            }
        }
        self.event(902, cut_us + 2_000, Event::SnapshotComplete);
        self.add(END_US, What::StreamEnd { stream: 901, code: "CLIENT".into(), reason: None });
    }

    fn board(&mut self, stream: u64, at_us: u64, start: Start) {
        let (client, replica, customer_id) = ("board".into(), "notification-0".into(), String::new());
        let tenant = TENANT.into();
        self.add(at_us, What::WatchAll { stream, client, tenant, replica, customer_id, start });
    }

    fn event(&mut self, stream: u64, at_us: u64, event: Event) {
        self.add(at_us, What::Event { stream, event });
    }

    fn rest(&mut self) {
        for second in 1..10 {
            let process = "ordering-0".to_owned();
            self.add(second * 1_000_000, What::Sample { process, rss_bytes: 1 << 20, threads: 20, files: 30 });
        }
        let bad = |what: &str, is_protobuf| Op::Bad { what: what.into(), is_protobuf };
        self.call(3_000_000, bad("an empty order", true), "INVALID_ARGUMENT", None, None);
        self.call(3_100_000, bad("noise", false), "INTERNAL", None, None);
        self.add(LAST_HEAL_US, What::LastHeal);
        self.add(DRAINED_US, What::Drained);
    }

    // --- what is left ---

    fn remains(&mut self, lives: &[Life]) {
        self.found(What::Workflow(workflow()));
        for (place, life) in lives.iter().enumerate() {
            self.rows(life);
            self.records(life, place as i64);
        }
        for topic in [Topic::Orders, Topic::Transitions] {
            self.found(What::Lag { group: "group".into(), topic, partition: 0, records: 0 });
        }
        self.found(What::Health { replica: "ordering-0".into(), serving: true });
    }

    fn found(&mut self, what: What) {
        self.add(END_US + 1_000, what);
    }

    fn rows(&mut self, life: &Life) {
        let last = life.steps.last().expect("a life").0.clone();
        self.found(What::OrderRow(OrderRow {
            order_id: life.id.clone(),
            tenant: TENANT.into(),
            number: life.number,
            customer_id: life.asked.customer_id.clone(),
            email: life.asked.email.clone(),
            digest: life.asked.digest.clone(),
            total: TOTAL.into(),
            item_count: 2,
            workflow: "delivery".into(),
            revision: 1,
            first_status: "received".into(),
            create_time_us: life.steps[0].0.time_us,
            start_time_us: None,
        }));
        if let Some(request_id) = life.asked.request_id.clone() {
            self.found(What::RequestRow { tenant: TENANT.into(), request_id, order_id: life.id.clone() });
        }
        let (order_id, due_time_us) = (life.id.clone(), last.next_time_us);
        let (tenant, version, status, phase) = (TENANT.into(), last.version, last.to, last.phase);
        self.found(What::StateRow { order_id, tenant, version, status, phase, due_time_us });
        for (transition, request_id) in life.steps.clone() {
            self.found(What::TransitionRow { transition, tenant: TENANT.into(), request_id });
        }
        for version in 1..=life.steps.len() {
            self.found(What::MailRow {
                order_id: life.id.clone(),
                tenant: TENANT.into(),
                version: version as i64,
                copy: 0,
                state: "sent".into(),
                attempts: 1,
                message_id: message_id(life, version),
                recipient: life.asked.email.clone(),
            });
        }
    }

    fn records(&mut self, life: &Life, place: i64) {
        let record = |topic, offset, content| What::Record {
            topic,
            log: 1,
            partition: (place % 2) as i32,
            offset,
            key: life.id.clone(),
            tenant: Some(TENANT.into()),
            content,
        };
        let content = RecordContent::Placed {
            order_id: life.id.clone(),
            tenant: TENANT.into(),
            number: life.number,
            customer_id: life.asked.customer_id.clone(),
            workflow: "delivery".into(),
            revision: 1,
            status: "received".into(),
            create_time_us: life.steps[0].0.time_us,
            total: TOTAL.into(),
            item_count: 2,
        };
        self.found(record(Topic::Orders, place, content));
        for (transition, _) in life.steps.clone() {
            // As the relay would: by time.
            let offset = (transition.time_us - EPOCH_US) / 1000 + place;
            self.found(record(
                Topic::Transitions,
                offset,
                RecordContent::Transition { tenant: TENANT.into(), transition },
            ));
        }
    }
}

fn message_id(life: &Life, version: usize) -> String {
    format!("<{}.{version}.0@test>", life.id)
}

fn workflow() -> Workflow {
    let status = |name: &str, phase: &str| Status { name: name.into(), phase: phase.into(), mail: true };
    let edge = |from: &str, to: &str, trigger: &str| {
        let delay_us = if trigger == "timer" { 30 * STEP_US } else { 0 };
        Edge { from: from.into(), to: to.into(), trigger: trigger.into(), delay_us, after_start: false }
    };
    let mut edges = vec![edge("received", "cancelled", "cancel"), edge("preparing", "cancelled", "cancel")];
    for (from, to) in [("received", "preparing"), ("preparing", "dispatched"), ("dispatched", "delivered")] {
        edges.extend([edge(from, to, "timer"), edge(from, to, "advance")]);
    }
    let statuses = vec![
        status("received", "active"),
        status("preparing", "active"),
        status("dispatched", "active"),
        status("delivered", "succeeded"),
        status("cancelled", "cancelled"),
    ];
    Workflow { name: "delivery".into(), revision: 1, statuses, edges, dispatch: None }
}
