//! What every client of Kafka is made with: it keeps the last trouble of the client's connections, so that who waits can say why.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::counter;
use rdkafka::{
    ClientConfig, ClientContext, Statistics,
    client::DefaultClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use tracing::{debug, warn};

use super::{
    certificate,
    trouble::{Account, Cause, Trouble, is_of_a_connection, is_silence},
};

/// After a failed question the client is polled for queued errors: how long each poll waits, and how many events are read at most.
const DRAIN: Duration = Duration::from_millis(20);
const MOST_EVENTS: usize = 100;

/// What is to be done with Kafka, as a message names it.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// Reading a topic.
    Read(&'a str),
    /// Writing a topic.
    Write(&'a str),
    /// Making a topic.
    Make(&'a str),
}

impl fmt::Display for Work<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(topic) => write!(f, "read topic {topic}"),
            Self::Write(topic) => write!(f, "write topic {topic}"),
            Self::Make(topic) => write!(f, "make topic {topic}"),
        }
    }
}

/// Follows a client. Clones share what is kept: the last trouble alone.
#[derive(Clone, Debug, Default)]
pub struct Context {
    account: Account,
    last: Arc<Mutex<Option<Trouble>>>,
}

/// Makes a client that is followed.
pub fn open<T: FromClientConfigAndContext<Context>>(client: &ClientConfig) -> KafkaResult<T> {
    client.create_with_context(Context::of(client))
}

impl Context {
    /// For a client with these settings.
    pub fn of(client: &ClientConfig) -> Self {
        let setting = |name: &str| client.get(name).map(str::to_owned);
        let account = Account {
            user: setting("sasl.username"),
            mechanism: setting("sasl.mechanism").or_else(|| setting("sasl.mechanisms")).unwrap_or_default(),
            ca: setting("ssl.ca.location"),
        };
        Self { account, last: Arc::default() }
    }

    /// The last trouble, if no question was answered since.
    pub fn last(&self) -> Option<Trouble> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kafka has answered.
    pub fn forget(&self) {
        self.keep(None);
    }

    fn keep(&self, trouble: Option<Trouble>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Finds out more of a certificate that could not be verified. Blocks, for some seconds at most.
    pub fn examine(&self) {
        let Some(trouble) = self.last().filter(|trouble| trouble.cause == Cause::Certificate) else { return };
        let ca = trouble.account.ca.as_deref().unwrap_or_default();
        if let Some(cause) = certificate::examine(&trouble.broker, ca) {
            self.keep(Some(Trouble { cause, ..trouble }));
        }
    }

    /// What an error means, where more is known than its code.
    pub fn explain(&self, error: &KafkaError, work: Work<'_>) -> Option<String> {
        self.explain_code(error.rdkafka_error_code()?, work)
    }

    /// The same of a code.
    pub fn explain_code(&self, code: RDKafkaErrorCode, work: Work<'_>) -> Option<String> {
        use RDKafkaErrorCode::{
            ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed, UnknownTopic,
            UnknownTopicOrPartition,
        };
        match code {
            TopicAuthorizationFailed | ClusterAuthorizationFailed => Some(self.denied(work)),
            GroupAuthorizationFailed => Some(format!(
                "Kafka does not let {} use its consumer group, to {work}: grant it (docs/tls.md says who needs what)",
                self.who()
            )),
            UnknownTopic | UnknownTopicOrPartition => Some("there is no such topic, `comanda migrate` makes it".into()),
            _ if is_silence(code) => self.last().map(|trouble| trouble.to_string()),
            _ => None,
        }
    }

    /// The same, or else the error itself.
    pub fn told(&self, error: &KafkaError, work: Work<'_>) -> String {
        self.explain(error, work).unwrap_or_else(|| error.to_string())
    }

    /// Counts an error of a consumer of this topic, and logs it. Connection errors are only counted: `error` has logged them already.
    pub fn report(&self, error: &KafkaError, topic: &str) {
        counter!("comanda_consumer_errors_total").increment(1);
        if !error.rdkafka_error_code().is_some_and(is_of_a_connection) {
            warn!("Kafka: {}", self.told(error, Work::Read(topic)));
        }
    }

    fn denied(&self, work: Work<'_>) -> String {
        let or_missing = if matches!(work, Work::Make(_)) { "" } else { ", or there is no such topic" };
        format!("Kafka does not let {} {work}: grant it (docs/tls.md says who needs what){or_missing}", self.who())
    }

    fn who(&self) -> String {
        self.account.user.as_ref().map_or("a client without a login".into(), |user| format!("user {user:?}"))
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility != "FAIL" {
            return DefaultClientContext.log(level, facility, message);
        }
        // What fails comes as an error too, but for one thing.
        debug!("librdkafka: {message}");
        if let Some(trouble) = Trouble::of_hang_up(message, &self.account) {
            self.keep(Some(trouble));
        }
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let trouble = code.and_then(|code| Trouble::of(code, reason, &self.account));
        match (trouble, code) {
            (Some(trouble), _) => {
                warn!("Kafka: {trouble}");
                self.keep(Some(trouble));
            }
            // Who asked for the ends of partitions reads them from the consumer.
            (None, Some(RDKafkaErrorCode::PartitionEOF)) => {}
            (None, _) => warn!("Kafka: {error}: {reason}"),
        }
    }
}

impl ConsumerContext for Context {}

/// Asks Kafka something, and says why where there is no answer. Blocks. The client must be one that is asked only: what comes of its topics
/// meanwhile is dropped.
pub fn ask<T>(
    consumer: &BaseConsumer<Context>,
    work: Work<'_>,
    question: impl FnOnce(&BaseConsumer<Context>) -> KafkaResult<T>,
) -> Result<T, Unanswered> {
    let context = consumer.context();
    match question(consumer) {
        Ok(answer) => {
            context.forget();
            Ok(answer)
        }
        Err(error) => {
            // What the client was told waits in it until somebody takes it.
            let _ = (0..MOST_EVENTS).find(|_| consumer.poll(DRAIN).is_none());
            context.examine();
            Err(Unanswered { reason: context.told(&error, work), trouble: context.last().map(Box::new), error })
        }
    }
}

/// A question without an answer.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unanswered {
    /// Why, for people.
    pub reason: String,
    /// What the client returned.
    pub error: KafkaError,
    /// What is known of its connections.
    pub(super) trouble: Option<Box<Trouble>>,
}
