//! A mail server that keeps the Message-IDs of what it accepted. It takes its time to accept a message, so that a sender which is killed
//! leaves mails behind whose outcome is unknown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use comanda_kit::testing::eventually;
use comanda_lab_smtp::{Action, Behaviour, Message, Phase, Server, Silence};

const TIME_TO_ACCEPT: Duration = Duration::from_millis(10);

type Accepted = BTreeMap<(String, i64), Vec<String>>;

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct SmtpServer {
    /// For `SMTP_URL`.
    pub url: String,
    state: Arc<State>,
    _server: Server,
}

#[derive(Debug)]
struct State {
    refused_domain: &'static str,
    accepted: Mutex<Accepted>,
    /// What the mail of an order and a version says.
    texts: Mutex<BTreeMap<(String, i64), String>>,
}

impl SmtpServer {
    /// One that accepts everything.
    pub async fn start() -> Self {
        Self::refusing("").await
    }

    /// One that refuses recipients with this domain, and repeats their addresses.
    pub async fn refusing(refused_domain: &'static str) -> Self {
        let state = Arc::new(State { refused_domain, accepted: Mutex::default(), texts: Mutex::default() });
        let server = Server::start(state.clone()).await.expect("a free port");
        Self { url: server.url(), state, _server: server }
    }

    /// The Message-IDs of what was accepted, by order and version.
    pub fn accepted(&self) -> Accepted {
        self.state.accepted.lock().expect("no test panics while it holds this").clone()
    }

    /// The whole mail about a version of an order, once it was accepted. Lines that quoted-printable broke are whole again.
    pub async fn mail(&self, order_id: &str, version: i64) -> String {
        let key = (order_id.to_owned(), version);
        eventually(&format!("a mail about version {version}"), async || {
            self.state.texts.lock().expect("no test panics while it holds this").get(&key).cloned()
        })
        .await
    }
}

impl Behaviour for State {
    fn offers(&self) -> Vec<String> {
        vec!["AUTH PLAIN".into()]
    }

    fn action(&self, phase: Phase, line: &str) -> Action {
        let is_refused = !self.refused_domain.is_empty() && line.contains(self.refused_domain);
        if phase == Phase::Rcpt && is_refused {
            return Action::reply(format!("550 no such user: {line}"));
        }
        Action::Consent
    }

    fn received(&self, message: Message, _is_accepted: bool, _reply: u16) {
        let mut accepted = self.accepted.lock().expect("no test panics while it holds this");
        let key = (message.header("X-Comanda-Order"), message.version());
        let text = message.text().replace("=\n", "");
        self.texts.lock().expect("no test panics while it holds this").insert(key.clone(), text);
        accepted.entry(key).or_default().push(message.header("Message-ID"));
    }

    fn before_answer(&self) -> Silence<'_> {
        Box::pin(tokio::time::sleep(TIME_TO_ACCEPT))
    }
}

/// A header of a message in a file.
pub fn header(message: &str, name: &str) -> String {
    Message { bytes: message.into(), ..Message::default() }.header(name)
}
