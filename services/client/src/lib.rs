//! A client of Comanda: it connects, keeps deadlines, repeats calls where that is safe, tells errors by type, and resumes watches.
//!
//! ```
//! use comanda_client::{Address, Client, Config, Update};
//! use comanda_proto::v1::{CreateOrderRequest, WatchOrderRequest, watch_order_response::Event};
//!
//! async fn create_and_watch(address: Address, order: CreateOrderRequest) -> Result<Vec<String>, comanda_client::Error> {
//!     let client = Client::new(Config::at(address));
//!     let order = client.create_order(order).await?.order.unwrap_or_default();
//!     let mut watch = client.watch_order(WatchOrderRequest { order_id: order.order_id, ..Default::default() }).await?;
//!     let mut statuses = Vec::new();
//!     while let Some(update) = watch.next().await? {
//!         match update {
//!             Update::Event(response) => {
//!                 if let Some(Event::Transition(transition)) = response.event {
//!                     statuses.push(transition.to_status);
//!                 }
//!             }
//!             Update::Interrupted(how) => eprintln!("{}; resuming in {:?}", how.error, how.wait),
//!         }
//!     }
//!     Ok(statuses)
//! }
//! # // The example runs: against a server that answers by a script.
//! # use comanda_client::testing::{Fake, Script, Step};
//! # use comanda_proto::v1::{OrderTransition, Phase, WatchOrderResponse};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let step = |version, to_status: &str, phase: Phase| {
//! #     let transition = OrderTransition { version, to_status: to_status.into(), phase: phase.into(), ..Default::default() };
//! #     Step::Send(WatchOrderResponse { event: Some(Event::Transition(transition)) })
//! # };
//! # let fake = Fake {
//! #     create: Script::new([Ok(Default::default())]),
//! #     watch_order: Script::new([
//! #         Ok(vec![step(1, "received", Phase::Active), Step::End(tonic::Status::unknown("a proxy restarts"))]),
//! #         Ok(vec![step(2, "delivered", Phase::Succeeded)]),
//! #     ]),
//! #     ..Default::default()
//! # };
//! # let (_fake, address) = fake.serve().await;
//! # let statuses = create_and_watch(address, CreateOrderRequest::default()).await.unwrap();
//! # assert_eq!(statuses, ["received", "delivered"]);
//! # });
//! ```
//!
//! **Calls.** Each has [`Config::deadline`] for itself and its repetitions. A call is repeated, with growing waits and the same request id,
//! after UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, INTERNAL, UNKNOWN, RESOURCE_EXHAUSTED and a lost race (ABORTED, reason CONTENTION);
//! a wait that the server asks for is granted. Reads may always be repeated. Writes carry a request id, which is made up where the caller
//! gives none, so that a repeated write is applied once.
//!
//! **Errors.** [`Error::outcome`] says whether a failed call was applied. After [`Outcome::Unknown`] repeat it with the same request id.
//!
//! **Credentials.** [`Config::credentials`] are shown with each call: an API key, a tracking token or a token of an OpenID provider, also from a
//! file that is read again. A watch that ends because its credentials did goes on by itself once the file holds others; else the error is
//! final, and the next call tries again from the same place.
//!
//! **TLS.** An address may begin with `https://`; [`Config::tls`] says whom to trust and which certificate to show.
//!
//! **Watches** never end by themselves before the order has. A stream that ends in any way but an error about the request is opened again
//! after the last response, also where it ended without an error but before a terminal phase, or sent nothing for three heartbeats. Each
//! break is handed out as [`Update::Interrupted`]. The rules, with an example of each, are in `clients/scenarios.json`: tests run them
//! against this crate and against the clients in other languages.

mod address;
mod backlog;
mod batch;
mod calls;
mod client;
mod courier_watch;
mod credentials;
mod error;
mod health;
mod opened;
mod order_watch;
mod orders_watch;
mod phase;
mod reader;
mod retry;
#[cfg(test)]
mod scenarios;
mod seen;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
mod token;
mod update;

pub use tonic::Code;

pub use self::{
    address::{Address, Role},
    batch::Batch,
    client::{Client, Config},
    courier_watch::CourierWatch,
    credentials::{Connection, Credentials},
    error::{Error, Outcome, Violation},
    order_watch::OrderWatch,
    orders_watch::OrdersWatch,
    phase::is_terminal,
    token::ResumeToken,
    update::{Interruption, Resume, Update},
};
