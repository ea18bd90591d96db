//! A server that does as a test tells it, phase by phase, and keeps what it heard.

use std::{
    collections::VecDeque,
    io,
    ops::Deref,
    sync::{Arc, Mutex},
};

use crate::{Action, Behaviour, Message, Phase, Server};

/// How replies are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// As RFC 5321 has it.
    #[default]
    Standard,
    /// Lines end in LF alone.
    LineFeed,
    /// Codes without any text; EHLO offers nothing.
    Bare,
    /// Every text ends in letters that are no UTF-8.
    Latin1,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standard, Self::LineFeed, Self::Bare, Self::Latin1];

    /// A reply, whose lines have CRLF between them, as it goes over the wire.
    pub fn written(self, reply: &str) -> Vec<u8> {
        let lines = reply.split("\r\n");
        match self {
            Self::Standard => format!("{reply}\r\n").into_bytes(),
            Self::LineFeed => lines.flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect(),
            Self::Bare => lines.take(1).flat_map(|line| [&line.as_bytes()[..3], b"\r\n"].concat()).collect(),
            Self::Latin1 => lines.flat_map(|line| [line.as_bytes(), b" petici\xf3n\r\n"].concat()).collect(),
        }
    }
}

#[derive(Debug)]
struct Rule {
    phase: Phase,
    /// What the client's command contains; empty for any.
    contains: String,
    action: Action,
    is_once: bool,
}

#[derive(Debug, Default)]
struct State {
    dialect: Dialect,
    offers: Vec<String>,
    rules: VecDeque<Rule>,
    accepted: Vec<Message>,
    connections: usize,
    commands: Vec<String>,
}

/// What a test tells the server, and what the server heard.
#[derive(Debug)]
pub struct Script(Mutex<State>);

impl Default for Script {
    fn default() -> Self {
        let offers = ["AUTH PLAIN LOGIN", "8BITMIME"].map(str::to_owned).into();
        Self(Mutex::new(State { offers, ..State::default() }))
    }
}

impl Script {
    /// Does this once in a phase, after what was scripted before.
    pub fn once(&self, phase: Phase, action: Action) {
        self.add(Rule { phase, contains: String::new(), action, is_once: true });
    }

    /// Does this in a phase from now on, whenever nothing is left to do once.
    pub fn always(&self, phase: Phase, action: Action) {
        self.when(phase, "", action);
    }

    /// Does this in a phase from now on, whenever the client's command contains a text.
    pub fn when(&self, phase: Phase, contains: &str, action: Action) {
        self.add(Rule { phase, contains: contains.into(), action, is_once: false });
    }

    /// Consents to everything from now on.
    pub fn heal(&self) {
        self.with(|state| state.rules.clear());
    }

    /// Writes its replies so from now on.
    pub fn speak(&self, dialect: Dialect) {
        self.with(|state| state.dialect = dialect);
    }

    /// Offers these extensions from now on.
    pub fn offer(&self, offers: &[&str]) {
        self.with(|state| state.offers = offers.iter().map(|offer| (*offer).to_owned()).collect());
    }

    /// Every accepted message, in order.
    pub fn accepted(&self) -> Vec<Message> {
        self.with(|state| state.accepted.clone())
    }

    /// How often a client connected.
    pub fn connections(&self) -> usize {
        self.with(|state| state.connections)
    }

    /// Every command that begins so, in order.
    pub fn commands(&self, start: &str) -> Vec<String> {
        self.with(|state| state.commands.iter().filter(|command| command.starts_with(start)).cloned().collect())
    }

    fn add(&self, rule: Rule) {
        self.with(|state| state.rules.push_back(rule));
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().expect("no holder panics"))
    }
}

impl State {
    fn action(&mut self, phase: Phase, line: &str) -> Action {
        let fits = |rule: &Rule| rule.phase == phase && line.contains(&rule.contains);
        if let Some(index) = self.rules.iter().position(|rule| rule.is_once && fits(rule)) {
            return self.rules.remove(index).map_or(Action::Consent, |rule| rule.action);
        }
        self.rules.iter().rfind(|rule| fits(rule)).map_or(Action::Consent, |rule| rule.action.clone())
    }
}

impl Behaviour for Script {
    fn connected(&self) {
        self.with(|state| state.connections += 1);
    }

    fn commanded(&self, line: &str) {
        self.with(|state| state.commands.push(line.into()));
    }

    fn action(&self, phase: Phase, line: &str) -> Action {
        self.with(|state| state.action(phase, line))
    }

    fn offers(&self) -> Vec<String> {
        self.with(|state| state.offers.clone())
    }

    fn received(&self, message: Message, is_accepted: bool, _reply: u16) {
        if is_accepted {
            self.with(|state| state.accepted.push(message));
        }
    }

    fn written(&self, reply: &str) -> Vec<u8> {
        self.with(|state| state.dialect).written(reply)
    }
}

/// A server with its script.
#[derive(Debug)]
pub struct ScriptedServer {
    server: Server,
    script: Arc<Script>,
}

impl ScriptedServer {
    /// Starts a server that consents to everything.
    pub async fn start() -> io::Result<Self> {
        let script = Arc::<Script>::default();
        Ok(Self { server: Server::start(script.clone()).await?, script })
    }

    /// For `SMTP_URL`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The same, with a user.
    pub fn url_with_user(&self) -> String {
        format!("smtp://ana@{}", self.server.address())
    }
}

impl Deref for ScriptedServer {
    type Target = Script;

    fn deref(&self) -> &Script {
        &self.script
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    /// Everything that the server says to a client who says all this at once.
    async fn talk(server: &ScriptedServer, said: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(server.server.address()).await.expect("listens");
        stream.write_all(said.as_bytes()).await.expect("connected");
        let mut heard = Vec::new();
        // A cut connection may end in an error.
        let _ = stream.read_to_end(&mut heard).await;
        heard
    }

    const MAIL: &str =
        "EHLO a\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: x\r\n\r\n..y\r\n.\r\nQUIT\r\n";

    #[tokio::test]
    async fn a_message_is_kept_as_it_was_meant() {
        let server = ScriptedServer::start().await.expect("a free port");
        talk(&server, MAIL).await;
        let accepted = server.accepted();
        assert_eq!((&*accepted[0].from, &*accepted[0].to), ("a@b", &["c@d".to_owned()][..]));
        assert_eq!(accepted[0].text(), "Subject: x\n\n.y\n");
        assert_eq!((server.connections(), server.commands("MAIL").len()), (1, 1));
    }

    #[tokio::test]
    async fn each_dialect_accepts_the_message_in_its_own_bytes() {
        for dialect in Dialect::ALL {
            let server = ScriptedServer::start().await.expect("a free port");
            server.speak(dialect);
            let heard = talk(&server, MAIL).await;
            assert_eq!(server.accepted().len(), 1);
            assert_eq!(heard.contains(&b'\r'), dialect != Dialect::LineFeed);
            assert_eq!(str::from_utf8(&heard).is_err(), dialect == Dialect::Latin1);
            if dialect == Dialect::Bare {
                assert_eq!(heard, b"220\r\n250\r\n250\r\n250\r\n354\r\n250\r\n221\r\n");
            }
        }
    }

    #[tokio::test]
    async fn rules_apply_once_then_always_and_by_the_command() {
        let server = ScriptedServer::start().await.expect("a free port");
        server.once(Phase::Rcpt, Action::reply("451 later"));
        server.always(Phase::Rcpt, Action::reply("550 never"));
        server.when(Phase::Mail, "SMTPUTF8", Action::reply("555 no"));
        let said = "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b> SMTPUTF8\r\nRCPT TO:<c@d>\r\nRCPT TO:<c@d>\r\nQUIT\r\n";
        let heard = String::from_utf8(talk(&server, said).await).expect("UTF-8");
        assert_eq!(heard, "220 lab ready\r\n250 2.1.0 well\r\n555 no\r\n451 later\r\n550 never\r\n221 2.0.0 bye\r\n");
    }

    #[tokio::test]
    async fn a_message_can_be_accepted_without_a_word() {
        let server = ScriptedServer::start().await.expect("a free port");
        server.once(Phase::Dot, Action::Accept(Box::new(Action::Cut)));
        let heard = talk(&server, MAIL).await;
        assert!(heard.ends_with(b"354 go on\r\n"));
        assert_eq!(server.accepted().len(), 1);
    }
}
