//! A history: everything that clients, servers and faults did in a run, and what was left at its end; one JSON object a line.
//!
//! A run writes `history.jsonl` while it lasts and `dump.jsonl` at its end, both of [`Line`]s. Lines of one file are in the order of
//! [`Line::at_us`] as far as one writer is concerned; only that clock relates lines to each other.
//!
//! Codes are gRPC's names (`OK`, `INVALID_ARGUMENT`, ..). Times named `*_time_us` are microseconds since 1970, by the database's clock.

#![allow(missing_docs, reason = "fields are named as in the API and the schema, where they are explained")]

mod call;
mod courier;
mod order;
mod record;
mod stream;
mod workflow;

use serde::{Deserialize, Serialize};

pub use self::{
    call::{Answer, BatchResult, NewOrder, Op},
    courier::{
        AssignmentEvent, AssignmentRow, CourierAction, CourierRow, Dispatch, Job, JobRow, Report, ReportRow, Step,
    },
    order::{Order, OrderRow, Transition},
    record::{RecordContent, Topic},
    stream::{Event, Start},
    workflow::{Edge, Status, Workflow},
};

/// One thing that happened, or one thing found at the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Microseconds since the run began, by the recorder's monotonic clock.
    pub at_us: u64,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The first line: which run this is, and what it must contain to count.
    Run(Run),

    // What clients did.
    /// A call was sent.
    Invoke {
        call: u64,
        client: String,
        /// Whose data the client may reach.
        #[serde(default = "default_tenant")]
        tenant: String,
        replica: String,
        op: Op,
    },
    /// Its answer, or what the client was left with (`CANCELLED` when it hung up itself).
    Return {
        call: u64,
        code: String,
        /// `ErrorInfo.reason`, where there was one.
        reason: Option<String>,
        /// Where the code is `OK`.
        answer: Option<Answer>,
    },
    /// A stream of one order was opened.
    Watch {
        stream: u64,
        client: String,
        #[serde(default = "default_tenant")]
        tenant: String,
        replica: String,
        order_id: String,
        after_version: i64,
    },
    /// A stream of many orders was opened.
    WatchAll {
        stream: u64,
        client: String,
        #[serde(default = "default_tenant")]
        tenant: String,
        replica: String,
        customer_id: String,
        start: Start,
    },
    /// A stream of a courier's jobs was opened.
    WatchCourier { stream: u64, client: String, tenant: String, replica: String, courier_id: String },
    /// A stream showed something.
    Event { stream: u64, event: Event },
    /// A stream ended: `OK`, a code, or `CLIENT` when its reader left.
    StreamEnd { stream: u64, code: String, reason: Option<String> },

    // What the mail server saw.
    /// A message came in whole (its final dot was read). `reply` is the code that was sent back; 0 when the connection was cut or left silent instead.
    Mail { message_id: String, recipients: Vec<String>, reply: u16 },

    // What the run did to the system.
    /// A fault began. It lasts until its [`What::Heal`].
    Fault { fault: u64, name: String, target: String },
    /// A fault ended, or, when `failed` is told, could not be made.
    Heal { fault: u64, failed: Option<String> },
    /// No fault follows, and clients start nothing new: from here on all must come to rest.
    LastHeal,
    /// All queues are empty and every order has come to its end.
    Drained,
    /// There was no progress for too long; the text shows every queue, lag and process.
    Stuck { state: String },
    /// A process of the system was started.
    Started { process: String, pid: u32 },
    /// It ended. `wanted`: the run had asked for it (by a fault or at the end).
    Exited { process: String, pid: u32, code: Option<i32>, signal: Option<i32>, wanted: bool },
    /// A line of a process' log that tells of a panic or of an error that must not be.
    Alarm { process: String, line: String },
    /// How large a process is.
    Sample { process: String, rss_bytes: u64, threads: u64, files: u64 },
    /// A figure that the run itself took, such as how long something lasted; its name tells the unit.
    Measured { name: String, value: f64 },
    /// Pointers were put back on purpose (`comanda republish`).
    Republished { why: String },

    // What was left at the end.
    /// A workflow's definition, as the database holds it.
    Workflow(Workflow),
    /// A row of `ordering.orders`.
    OrderRow(OrderRow),
    /// A row of `ordering.requests`.
    RequestRow { tenant: String, request_id: String, order_id: String },
    /// A row of `state_machine.states`.
    StateRow { order_id: String, tenant: String, version: i64, status: String, phase: String, due_time_us: Option<i64> },
    /// A row of `state_machine.transitions`.
    TransitionRow {
        #[serde(flatten)]
        transition: Transition,
        tenant: String,
        request_id: Option<String>,
    },
    /// A pointer that is still in an outbox.
    OutboxRow { service: String, order_id: String, version: i64 },
    /// A row of the mail ledger.
    MailRow {
        order_id: String,
        tenant: String,
        version: i64,
        copy: i32,
        state: String,
        attempts: i32,
        message_id: String,
        recipient: String,
    },
    /// A row of `dispatch.couriers`.
    CourierRow(CourierRow),
    /// A row of `dispatch.jobs`.
    JobRow(JobRow),
    /// A row of `dispatch.assignments`.
    AssignmentRow(AssignmentRow),
    /// A row of `dispatch.events`.
    AssignmentEventRow(AssignmentEvent),
    /// A row of a report over the whole run, as AnalyticsService answers it at the end.
    ReportRow(ReportRow),
    /// A record that could not be applied.
    DeadLetterRow { service: String, topic: String, partition: i32, offset: i64, reason: String },
    /// A record of a topic. `log` counts the logs that topic has had: 1, and one more after each loss of the log.
    Record {
        topic: Topic,
        log: u32,
        partition: i32,
        offset: i64,
        key: String,
        /// The header `ce_tenant`.
        tenant: Option<String>,
        content: RecordContent,
    },
    /// How far a consumer group was behind.
    Lag { group: String, topic: Topic, partition: i32, records: i64 },
    /// What a replica said of its health.
    Health { replica: String, serving: bool },
    /// A counter of a process (its metrics), at its end or at the run's.
    Counter { process: String, name: String, value: f64 },
}

/// The only tenant where a history does not tell one.
fn default_tenant() -> String {
    "default".into()
}

/// Which run a history is of, and the least it must contain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Of all random choices.
    pub seed: u64,
    /// `quick`, `random`, or the name of a trial.
    pub profile: String,
    /// The version of the system that was attacked.
    pub commit: String,
    /// Fewer accepted orders prove nothing.
    pub least_orders: u64,
    /// Fewer faults prove nothing.
    pub least_faults: u64,
    /// Fewer kinds of fault prove nothing.
    pub least_fault_kinds: u64,
    /// Fewer commands that moved an order prove nothing.
    #[serde(default)]
    pub least_moves: u64,
    /// Fewer transitions shown by streams prove nothing.
    #[serde(default)]
    pub least_shown: u64,
    /// Within this time of [`What::LastHeal`] the run must be [`What::Drained`].
    pub drain_ms: u64,
    /// No process may become larger.
    pub most_rss_bytes: u64,
    /// Fewer assignments that were completed prove nothing.
    #[serde(default)]
    pub least_jobs: u64,
    /// Whether every status that has a template is due a mail.
    pub mails: bool,
    /// Replaces the delay of every timer edge, where the system was started so (`COMANDA_STEP_MS`).
    #[serde(default)]
    pub step_us: Option<i64>,
}
