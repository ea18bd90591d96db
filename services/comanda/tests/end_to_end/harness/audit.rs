//! What must hold of orders once they have ended, whatever happened on their way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use comanda_kit::testing::{Published, eventually};
use comanda_proto::{
    events::{OrderPlaced, OrderTransition},
    topics::{self, Event},
};
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{CANARIES, PATH, SmtpServer, World, smtp::header};

#[derive(FromRow)]
struct Step {
    order_id: Uuid,
    version: i64,
    from_status: String,
    to_status: String,
    transition_time: OffsetDateTime,
    due_at: Option<OffsetDateTime>,
}

impl World {
    /// Waits until these orders, and no others, have ended as they should, and everything about them is told.
    pub async fn all_delivered(&self, order_ids: &[String]) {
        let count = order_ids.len() as i64;
        self.reaches("SELECT count(*) FROM state_machine.states WHERE status = 'delivered'", count).await;
        let waiting = "SELECT (SELECT count(*) FROM ordering.outbox) + (SELECT count(*) FROM state_machine.outbox)";
        eventually("both outboxes are empty", async || (self.count(waiting).await == 0).then_some(())).await;
        self.stores_exactly(order_ids).await;
        self.history_is_dense().await;
        self.topics_are_in_order(order_ids).await;
    }

    /// Fails unless the stored orders are these.
    pub async fn stores_exactly(&self, order_ids: &[String]) {
        let statement = "SELECT order_id::text FROM ordering.orders";
        let stored: Vec<String> = sqlx::query_scalar(statement).fetch_all(&self.sql).await.expect("orders");
        assert_eq!(stored.len(), order_ids.len(), "no order is lost, none is there twice");
        assert_eq!(stored.iter().collect::<BTreeSet<_>>(), order_ids.iter().collect());
    }

    /// Fails unless each order has gone through each status of the workflow once, and none too early.
    pub async fn history_is_dense(&self) {
        let statement = "SELECT order_id, version, from_status, to_status, transition_time, due_at
                         FROM state_machine.transitions ORDER BY order_id, version";
        let steps: Vec<Step> = sqlx::query_as(statement).fetch_all(&self.sql).await.expect("a history");
        for history in steps.chunk_by(|a, b| a.order_id == b.order_id) {
            assert!(history.iter().map(|step| step.version).eq(1..=4), "versions are dense: {}", history[0].order_id);
            assert!(history.iter().map(|step| &*step.to_status).eq(PATH), "every status: {}", history[0].order_id);
            for pair in history.windows(2) {
                assert_eq!(pair[1].from_status, pair[0].to_status);
                assert!(Some(pair[1].transition_time) >= pair[0].due_at, "too early: {}", pair[1].order_id);
            }
        }
    }

    /// Fails unless both topics tell everything: of each order in one partition, first occurrences in order, repetitions unchanged.
    pub async fn topics_are_in_order(&self, order_ids: &[String]) {
        let placed = self.told::<OrderPlaced>(topics::ORDERS, |_| 1).await;
        let moved = self.told::<OrderTransition>(topics::ORDER_TRANSITIONS, |transition| transition.version).await;
        let wanted: BTreeSet<_> = order_ids.iter().collect();
        assert_eq!(placed.keys().collect::<BTreeSet<_>>(), wanted);
        assert_eq!(moved.keys().collect::<BTreeSet<_>>(), wanted);
        assert!(moved.values().all(|versions| versions.iter().copied().eq(1..=4)), "first occurrences: {moved:?}");
    }

    /// The versions of each order on a topic, as they first occurred.
    async fn told<E: Event>(&self, topic: &str, version: impl Fn(&E) -> i64) -> BTreeMap<String, Vec<i64>> {
        let records = self.environment.records(topic).await.expect("a topic that can be read");
        let (mut versions, mut firsts) = (BTreeMap::<String, Vec<i64>>::new(), BTreeMap::new());
        for record in &records {
            assert_discreet(record);
            let event: E = record.event();
            assert_eq!(event.subject(), record.key);
            let first = firsts.entry(event.id()).or_insert_with(|| {
                versions.entry(record.key.clone()).or_default().push(version(&event));
                record
            });
            assert_eq!((first.partition, &first.payload), (record.partition, &record.payload), "{}", event.id());
        }
        versions
    }

    /// Waits until every mail of these orders is sent.
    pub async fn ledger_is_sent(&self, order_ids: &[String]) {
        let count = 4 * order_ids.len() as i64;
        self.reaches("SELECT count(*) FROM notification.mails WHERE state = 4", count).await;
        assert_eq!(self.count("SELECT count(*) FROM notification.mails").await, count, "one mail a transition");
    }

    /// Waits until the mails of these orders are files, and fails unless each is there once and says what it is.
    pub async fn mails_are_files(&self, order_ids: &[String]) {
        self.ledger_is_sent(order_ids).await;
        let files = fs::read_dir(self.mail_dir()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "eml"));
        let told: Vec<_> = files
            .map(|path| {
                let mail = fs::read_to_string(path).expect("a mail");
                let (order_id, version) = (header(&mail, "X-Comanda-Order"), header(&mail, "X-Comanda-Version"));
                assert_eq!(header(&mail, "Message-ID"), format!("<{order_id}.{version}.0@comanda.localhost>"));
                (order_id, version.parse().expect("a version"))
            })
            .collect();
        assert_eq!(told.len(), 4 * order_ids.len());
        assert_eq!(told.into_iter().collect::<BTreeSet<_>>(), due(order_ids));
    }

    /// Waits until the mails of these orders are sent, and fails unless one that was sent again has the same Message-ID. Returns how
    /// many were.
    pub async fn mails_are_sent(&self, server: &SmtpServer, order_ids: &[String]) -> usize {
        self.ledger_is_sent(order_ids).await;
        let accepted = server.accepted();
        assert_eq!(accepted.keys().cloned().collect::<BTreeSet<_>>(), due(order_ids));
        for (mail, message_ids) in &accepted {
            assert!(message_ids.iter().all(|id| *id == message_ids[0]), "{mail:?}: {message_ids:?}");
        }
        let distinct: BTreeSet<_> = accepted.values().flatten().collect();
        assert_eq!(distinct.len(), accepted.len(), "each mail has a Message-ID of its own");
        accepted.values().filter(|message_ids| message_ids.len() > 1).count()
    }
}

fn due(order_ids: &[String]) -> BTreeSet<(String, i64)> {
    order_ids.iter().flat_map(|order_id| (1..=4).map(move |version| (order_id.clone(), version))).collect()
}

fn assert_discreet(record: &Published) {
    let holds = |word: &str| record.payload.windows(word.len()).any(|window| window == word.as_bytes());
    assert!(!CANARIES.into_iter().any(holds), "a record tells of a person: {record:?}");
}
