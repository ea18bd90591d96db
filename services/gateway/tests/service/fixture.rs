//! What the tests start from.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use comanda_client::{Address, Config as Servers, testing::Fake};
use comanda_gateway::{App, Config};
use comanda_kit::{
    access::{Access, config::Door},
    server::Limits,
    shutdown::Tasks,
    testing::{Environment, Replica, eventually},
    tracking::{Keys, new_key},
};
use comanda_proto::topics;
use reqwest::{Client, RequestBuilder, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    gateway: Config,
}

#[derive(Parser)]
struct Notification {
    #[command(flatten)]
    notification: comanda_notification::Config,
}

/// A gateway on a free port.
pub struct Gateway {
    pub address: SocketAddr,
    pub http: Client,
    tasks: Tasks,
}

impl Gateway {
    /// Before these servers, with flags.
    pub fn start(servers: Servers, flags: &[&str]) -> Self {
        Self::with_door(Door::default(), servers, flags)
    }

    /// The same, which lets in whom this says.
    pub fn with_door(door: Door, servers: Servers, flags: &[&str]) -> Self {
        let flags = [&["test", "--http-listen", "127.0.0.1:0"], flags].concat();
        let config = Cli::try_parse_from(flags).expect("valid flags").gateway;
        let tasks = Tasks::new();
        let address = App::build(&config, door, servers).expect("a free port").start(&tasks).expect("it starts");
        Self { address, http: http(), tasks }
    }

    /// Before a server that answers by a script.
    pub async fn before(fake: Fake, flags: &[&str]) -> (std::sync::Arc<Fake>, Self) {
        let (fake, address) = fake.serve().await;
        (fake, Self::start(Servers::at(address), flags))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.http.post(self.url(path)).json(body)
    }

    pub async fn stop(self) {
        self.tasks.stop_token().cancel();
        self.tasks.run().await.expect("no task fails");
    }
}

/// The roles of a business, and a gateway before them.
pub struct World {
    pub core: Replica,
    pub gateway: Gateway,
    /// The PEM file of its tracking keys.
    pub tracking: String,
}

impl World {
    /// Orders move by commands alone: a step takes an hour.
    pub async fn new() -> Self {
        Self::with(3_600_000, &[]).await
    }

    pub async fn with(step_ms: u64, flags: &[&str]) -> Self {
        let environment = Environment::new().await.expect("Postgres and Kafka run");
        for topic in [topics::ASSIGNMENTS, topics::COURIER_LOCATIONS] {
            environment.create_topic(topic).await.expect("a topic");
        }
        let operator = comanda_state_machine::operator::Operator::connect(&environment.postgres).expect("a valid URL");
        operator.store_shipped_workflows().await.expect("stored");
        operator.close().await;
        let tracking = new_key().expect("a key");
        let core = core(&environment, step_ms, &tracking);
        let gateway = Gateway::start(Servers::at(address(core.address)), flags);
        for service in ["OrderService", "LifecycleService", "WatchService"] {
            core.serves(&format!("comanda.v1.{service}")).await;
        }
        Self { core, gateway, tracking }
    }

    /// Creates an order, and returns it.
    pub async fn order(&self) -> Value {
        let (status, _, body) = answer(self.gateway.post("/v1/orders", &order())).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["order"].clone()
    }

    /// Waits until a GET shows this at a pointer.
    pub async fn shows(&self, path: &str, pointer: &str, wanted: &Value) {
        eventually(&format!("{path} shows {wanted} at {pointer}"), async || {
            let (_, _, body) = answer(self.gateway.get(path)).await;
            (body.pointer(pointer) == Some(wanted)).then_some(())
        })
        .await;
    }
}

/// Ordering, state machine and notification on one port.
fn core(environment: &Environment, step_ms: u64, tracking: &str) -> Replica {
    let Environment { postgres, kafka } = environment;
    let tasks = Tasks::new();
    let state_machine = comanda_state_machine::Config { workflow_files: Vec::new(), step_ms: Some(step_ms) };
    let notification = Notification::try_parse_from(["test"]).expect("the defaults are valid").notification;
    let keys = Arc::new(Keys::of_pem(tracking.as_bytes(), Duration::from_secs(24 * 3600)).expect("valid keys"));
    let ordering = comanda_ordering::App::build(postgres, kafka).expect("valid").with_tracking(Some(keys.clone()));
    let endpoints = vec![
        ordering.start(&tasks).expect("it starts"),
        comanda_state_machine::App::build(&state_machine, postgres, kafka)
            .expect("valid")
            .start(&tasks)
            .expect("it starts"),
        comanda_notification::App::build(&notification, postgres, kafka, None)
            .expect("valid")
            .start(&tasks)
            .expect("it starts"),
    ];
    let access = Access::default().with_tracking(Some(keys));
    Replica::serve_with(access, &Limits::default(), endpoints, tasks).expect("a free port")
}

/// A client of HTTP. Where reqwest is compiled with TLS it demands a provider of ciphers, even for plain HTTP; an error says that there is one.
fn http() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().no_proxy().build().expect("a client")
}

pub fn address(socket: SocketAddr) -> Address {
    socket.to_string().parse().expect("an address")
}

/// A small order.
pub fn order() -> Value {
    json!({
        "customer": {"customerId": "ana"},
        "items": [{"name": "Pizza", "quantity": 2, "unitPrice": {"currencyCode": "USD", "units": "12", "nanos": 500_000_000}}],
    })
}

/// Sends a request, and returns status, headers and JSON of its answer.
pub async fn answer(request: RequestBuilder) -> (StatusCode, HeaderMap, Value) {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("a text");
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} with {text:?}, which is not JSON"));
    (status, headers, body)
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub retry: Option<u64>,
    pub data: Value,
}

/// A stream of events, read as a browser reads it.
pub struct Events {
    response: Response,
    buffer: String,
}

impl Events {
    pub async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, buffer: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<Event> {
        let patience = comanda_kit::testing::PATIENCE;
        tokio::time::timeout(patience, self.read()).await.expect("an event, or the end")
    }

    /// The next event that is no heartbeat.
    pub async fn next_news(&mut self) -> Option<Event> {
        loop {
            match self.next().await {
                Some(event) if event.name == "heartbeat" => {}
                other => return other,
            }
        }
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (parsed(event), rest.to_owned());
                self.buffer = rest;
                return Some(event);
            }
            let bytes = self.response.chunk().await.expect("the stream does not break")?;
            self.buffer.push_str(std::str::from_utf8(&bytes).expect("UTF-8"));
        }
    }
}

fn parsed(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        let (name, value) = line.split_once(": ").expect("a name and a value");
        match name {
            "event" => event.name = value.to_owned(),
            "id" => event.id = Some(value.to_owned()),
            "retry" => event.retry = Some(value.parse().expect("milliseconds")),
            "data" => event.data = serde_json::from_str(value).expect("JSON"),
            other => panic!("{other} is no field of an event"),
        }
    }
    event
}
