//! Runs the scenarios of `clients/scenarios.json` against this crate: a server answers by their scripts, and the calls that it gets,
//! what the client tells, and how the call or watch ends must be as they say. The clients in other languages are held to the same file.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
    time::Duration,
};

use comanda_proto::{
    DESCRIPTORS,
    errors::DOMAIN,
    v1::{WatchOrderResponse, WatchOrdersResponse, watch_order_response, watch_orders_response},
};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde::Deserialize;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    client::{Client, Config},
    error::{Error, Outcome},
    testing::{Fake, Script, Step},
    update::Update,
};

const SCENARIOS: &str = include_str!("../../../clients/scenarios.json");

/// The messages of the API. Reading them takes long, and on a busy machine the deadlines of the scenarios go on meanwhile.
static MESSAGES: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("descriptors"));

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Scenario {
    name: String,
    rpc: String,
    /// What the client is asked for.
    request: Value,
    /// The answers to a call.
    #[serde(default)]
    answers: Vec<Answer>,
    /// The streams that answer a watch, first to last.
    #[serde(default)]
    streams: Vec<Vec<Answer>>,
    /// The answers to ListOrders.
    #[serde(default)]
    pages: Vec<Answer>,
    /// The answers to BatchGetOrders.
    #[serde(default)]
    look_ups: Vec<Answer>,
    /// The calls that must arrive.
    calls: Vec<Value>,
    /// The calls of ListOrders that must arrive.
    #[serde(default)]
    list_calls: Vec<Value>,
    /// The calls of BatchGetOrders that must arrive.
    #[serde(default)]
    look_up_calls: Vec<Value>,
    /// What a watch of one order must tell, in this order.
    #[serde(default)]
    told: Vec<String>,
    /// What a watch of all orders must tell of each order last. Pages and transitions may come in any order.
    #[serde(default)]
    versions: BTreeMap<String, i64>,
    /// How often a watch of all orders must tell that a snapshot is complete.
    #[serde(default)]
    snapshots: usize,
    /// The code of the end. A watch of all orders ends with UNIMPLEMENTED when the script is over.
    outcome: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Send(Value),
    Response(Value),
    End(End),
    Stall(#[allow(dead_code, reason = "says only that there is one")] bool),
}

#[derive(Deserialize)]
struct End {
    code: String,
    reason: Option<String>,
    #[serde(default)]
    metadata: HashMap<String, String>,
}

impl End {
    fn status(self) -> Status {
        let code = code(&self.code);
        match self.reason {
            Some(reason) => {
                Status::with_error_details(code, "", ErrorDetails::with_error_info(reason, DOMAIN, self.metadata))
            }
            None => Status::new(code, ""),
        }
    }
}

fn code(name: &str) -> Code {
    let codes = (0..=16).map(Code::from);
    codes.into_iter().find(|code| label(*code) == name).unwrap_or_else(|| panic!("no code {name}"))
}

fn label(code: Code) -> String {
    if code == Code::Ok { "OK".into() } else { Error::new(code, "").label() }
}

/// A message of comanda.v1 from its canonical JSON.
fn message<M: Message + Default>(json: &Value) -> M {
    let name = std::any::type_name::<M>().rsplit("::").next().expect("a name");
    let descriptor = MESSAGES.get_message_by_name(&format!("comanda.v1.{name}")).expect("a message of the API");
    let dynamic = DynamicMessage::deserialize(descriptor, json).expect("canonical JSON");
    dynamic.transcode_to().expect("the same message")
}

fn messages<M: Message + Default>(all: &[Value]) -> Vec<M> {
    all.iter().map(message).collect()
}

fn steps<M: Message + Default>(streams: Vec<Vec<Answer>>) -> Vec<Result<Vec<Step<M>>, Status>> {
    let step = |answer| match answer {
        Answer::Send(json) | Answer::Response(json) => Step::Send(message(&json)),
        Answer::End(end) => Step::End(end.status()),
        Answer::Stall(_) => Step::Stall,
    };
    streams.into_iter().map(|stream| Ok(stream.into_iter().map(step).collect())).collect()
}

fn answers<M: Message + Default>(answers: Vec<Answer>) -> Vec<Result<M, Status>> {
    let answer = |answer| match answer {
        Answer::Response(json) | Answer::Send(json) => Ok(message(&json)),
        Answer::End(end) => Err(end.status()),
        Answer::Stall(_) => panic!("only streams stall"),
    };
    answers.into_iter().map(answer).collect()
}

/// `silence` is short only where a stream of the scenario falls silent: on a busy machine any stream may for a second.
fn client(address: crate::Address, silence: Duration) -> Client {
    let mut config = Config::at(address);
    (config.first_wait, config.longest_wait) = (Duration::from_millis(1), Duration::from_millis(5));
    config.silence = silence;
    Client::new(config)
}

impl Scenario {
    fn silence(&self) -> Duration {
        let stalls = self.streams.iter().flatten().any(|answer| matches!(answer, Answer::Stall(_)));
        Duration::from_secs(if stalls { 2 } else { 60 })
    }

    async fn run(self) {
        match self.rpc.as_str() {
            "CreateOrder" => self.create().await,
            "WatchOrder" => self.watch_order().await,
            "WatchOrders" => self.watch_orders().await,
            other => panic!("no scenarios of {other}"),
        }
    }

    async fn create(self) {
        let fake = Fake { create: Script::new(answers(self.answers)), ..Fake::default() };
        let (fake, address) = fake.serve().await;
        let end = client(address, Duration::from_secs(60)).create_order(message(&self.request)).await;
        assert_eq!(fake.create.asked(), messages(&self.calls), "{}", self.name);
        let outcome = end.as_ref().err().map(|error| error.outcome);
        assert!(outcome.is_none_or(|outcome| outcome == Outcome::NotApplied), "{}: a refused call", self.name);
        assert_eq!(end.map_or_else(|error| label(error.code), |_| "OK".into()), self.outcome, "{}", self.name);
    }

    async fn watch_order(self) {
        let silence = self.silence();
        let fake = Fake { watch_order: Script::new(steps(self.streams)), ..Fake::default() };
        let (fake, address) = fake.serve().await;
        let mut watch = client(address, silence).watch_order(message(&self.request)).await.expect("connected");
        let mut told = Vec::new();
        let end = loop {
            match watch.next().await {
                Ok(Some(Update::Event(response))) => told.push(order_event(&response)),
                Ok(Some(Update::Interrupted(_))) => {}
                Ok(None) => break "OK".to_owned(),
                Err(error) => break label(error.code),
            }
        };
        assert_eq!((told, end), (self.told, self.outcome), "{}", self.name);
        assert_eq!(fake.watch_order.asked(), messages(&self.calls), "{}", self.name);
    }

    async fn watch_orders(self) {
        let silence = self.silence();
        let fake = Fake {
            watch_orders: Script::new(steps(self.streams)),
            list: Script::new(answers(self.pages)),
            batch_get: Script::new(answers(self.look_ups)),
            ..Fake::default()
        };
        let (fake, address) = fake.serve().await;
        let mut watch = client(address, silence).watch_orders(message(&self.request)).await.expect("connected");
        let mut told = Told { waits_for_snapshot: self.request.get("snapshot").is_some(), ..Told::default() };
        let end = loop {
            match watch.next().await {
                Ok(Update::Event(response)) => told.note(response, &self.name),
                Ok(Update::Interrupted(_)) => {}
                Err(error) => break label(error.code),
            }
        };
        assert_eq!(end, self.outcome, "{}", self.name);
        assert_eq!((told.versions, told.snapshots), (self.versions, self.snapshots), "{}", self.name);
        assert_eq!(fake.watch_orders.asked(), messages(&self.calls), "{}", self.name);
        assert_eq!(fake.list.asked(), messages(&self.list_calls), "{}", self.name);
        assert_eq!(fake.batch_get.asked(), messages(&self.look_up_calls), "{}", self.name);
    }
}

fn order_event(response: &WatchOrderResponse) -> String {
    use watch_order_response::Event;
    match response.event.as_ref().expect("an event") {
        Event::Transition(transition) => format!("transition {}", transition.version),
        Event::Current(order) => format!("current {}", order.version),
        Event::Heartbeat(_) => "heartbeat".into(),
        Event::Courier(courier) => format!("courier {}", courier.attempt),
    }
}

/// What a watch of all orders told.
#[derive(Default)]
struct Told {
    versions: BTreeMap<String, i64>,
    snapshots: usize,
    /// Until the first snapshot is complete.
    waits_for_snapshot: bool,
}

impl Told {
    fn note(&mut self, response: WatchOrdersResponse, name: &str) {
        use watch_orders_response::Event;
        let is_complete = matches!(response.event, Some(Event::SnapshotComplete(_)));
        self.waits_for_snapshot &= !is_complete;
        assert!(!self.waits_for_snapshot || response.resume_token.is_empty(), "{name}: a token that would skip orders");
        let (order_id, version) = match response.event.expect("an event") {
            Event::Transition(transition) => (transition.order_id, transition.version),
            Event::Current(order) => (order.order_id, order.version),
            Event::Heartbeat(_) => return,
            Event::SnapshotComplete(_) => {
                self.snapshots += 1;
                assert!(!response.resume_token.is_empty(), "{name}: a complete snapshot has a token");
                return;
            }
        };
        let before = self.versions.insert(order_id, version);
        assert!(before.is_none_or(|before| version > before), "{name}: version {version} after {before:?}");
    }
}

#[tokio::test]
async fn every_scenario_ends_as_it_says() {
    let scenarios: Vec<Scenario> = serde_json::from_str(SCENARIOS).expect("scenarios");
    assert!(scenarios.len() > 40);
    let running: Vec<_> = scenarios.into_iter().map(|scenario| tokio::spawn(scenario.run())).collect();
    for scenario in running {
        scenario.await.expect("a scenario failed: see above");
    }
}
