//! A mail server that does as it is told: answers, refuses, falls silent or hangs up in any phase, and keeps what it accepted.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Greeting,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
}

/// What the server does in a phase instead of consenting.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sends this line.
    Reply(&'static str),
    /// Never answers, but keeps the connection.
    Silence,
    /// Closes the connection.
    Cut,
    /// After the final dot: accepts the message, then does the other thing instead of saying so.
    Accept(Box<Action>),
    /// Consents, and sends this line as well, unasked.
    Twice(&'static str),
}

/// A message that the server has accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub to: String,
    pub text: String,
}

impl Accepted {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> String {
        let mut lines = self.text.lines().take_while(|line| !line.is_empty());
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no header {name} in {}", self.text)).to_owned()
    }

    /// The version that the mail tells.
    pub fn version(&self) -> i64 {
        self.header("X-Comanda-Version").parse().expect("a number")
    }
}

#[derive(Debug, Default)]
struct Script {
    /// Done once each, in this order.
    once: HashMap<Phase, VecDeque<Action>>,
    /// Done whenever nothing else is scripted.
    always: HashMap<Phase, Action>,
    accepted: Vec<Accepted>,
    connections: usize,
    commands: Vec<String>,
}

/// The server. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl SmtpServer {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = Self { address, script: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.with(|script| script.connections += 1);
                tokio::spawn(Conversation::new(serving.clone(), stream).run());
            }
        });
        server
    }

    /// For `SMTP_URL`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The same, with a user.
    pub fn url_with_user(&self) -> String {
        format!("smtp://ana@{}", self.address)
    }

    /// Does this once in a phase, after what was scripted before.
    pub fn once(&self, phase: Phase, action: Action) {
        self.with(|script| script.once.entry(phase).or_default().push_back(action));
    }

    /// Does this in a phase from now on.
    pub fn always(&self, phase: Phase, action: Action) {
        self.with(|script| script.always.insert(phase, action));
    }

    /// Consents to everything from now on.
    pub fn heal(&self) {
        self.with(|script| (script.once.clear(), script.always.clear()));
    }

    /// Every accepted message, in order.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.with(|script| script.accepted.clone())
    }

    /// How often somebody connected.
    pub fn connections(&self) -> usize {
        self.with(|script| script.connections)
    }

    /// How many commands began so.
    pub fn commands(&self, start: &str) -> usize {
        self.with(|script| script.commands.iter().filter(|command| command.starts_with(start)).count())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.script.lock().expect("no test panics while it holds the script"))
    }

    fn action(&self, phase: Phase) -> Option<Action> {
        self.with(|script| {
            let once = script.once.get_mut(&phase).and_then(VecDeque::pop_front);
            once.or_else(|| script.always.get(&phase).cloned())
        })
    }
}

struct Conversation {
    server: SmtpServer,
    stream: BufReader<TcpStream>,
    to: String,
}

/// The conversation is over.
struct End;

impl Conversation {
    fn new(server: SmtpServer, stream: TcpStream) -> Self {
        Self { server, stream: BufReader::new(stream), to: String::new() }
    }

    async fn run(mut self) {
        // It ends when either side hangs up.
        let _ = self.talk().await;
    }

    async fn talk(&mut self) -> Result<(), End> {
        self.answer(Phase::Greeting, "220 ready").await?;
        loop {
            let line = self.line().await?;
            self.server.with(|script| script.commands.push(line.clone()));
            let word = line.split_whitespace().next().unwrap_or_default().to_uppercase();
            match &*word {
                "EHLO" => self.answer(Phase::Ehlo, "250-test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME").await?,
                "AUTH" => self.answer(Phase::Auth, "235 welcome").await?,
                "MAIL" => self.answer(Phase::Mail, "250 ok").await?,
                "RCPT" => {
                    self.to = line.split(['<', '>']).nth(1).unwrap_or_default().into();
                    self.answer(Phase::Rcpt, "250 ok").await?;
                }
                "DATA" => self.data().await?,
                "QUIT" => return self.send("221 bye").await,
                _ => self.send("500 what?").await?,
            }
        }
    }

    async fn data(&mut self) -> Result<(), End> {
        // An error of DATA is followed by commands, not by a message.
        match self.server.action(Phase::Data) {
            None => self.send("354 go on").await?,
            Some(Action::Reply(line)) => return self.send(line).await,
            Some(other) => self.act(other, "354 go on").await?,
        }
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            if line == "." {
                break;
            }
            text.push_str(line.strip_prefix('.').unwrap_or(&line));
            text.push('\n');
        }
        let message = Accepted { to: self.to.clone(), text };
        match self.server.action(Phase::Dot) {
            None => self.accept(message, "250 2.0.0 accepted").await,
            Some(Action::Reply(line)) if line.starts_with('2') => self.accept(message, line).await,
            Some(Action::Accept(then)) => {
                self.server.with(|script| script.accepted.push(message));
                self.act(*then, "").await
            }
            Some(other) => self.act(other, "").await,
        }
    }

    async fn accept(&mut self, message: Accepted, line: &str) -> Result<(), End> {
        self.server.with(|script| script.accepted.push(message));
        self.send(line).await
    }

    async fn answer(&mut self, phase: Phase, consent: &str) -> Result<(), End> {
        match self.server.action(phase) {
            None => self.send(consent).await,
            Some(action) => self.act(action, consent).await,
        }
    }

    async fn act(&mut self, action: Action, consent: &str) -> Result<(), End> {
        match action {
            Action::Reply(line) => self.send(line).await,
            Action::Silence => std::future::pending().await,
            Action::Cut | Action::Accept(_) => Err(End),
            Action::Twice(line) => {
                self.send(consent).await?;
                self.send(line).await
            }
        }
    }

    async fn line(&mut self) -> Result<String, End> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(count) if count > 0 => Ok(line.trim_end_matches(['\r', '\n']).into()),
            _ => Err(End),
        }
    }

    async fn send(&mut self, line: &str) -> Result<(), End> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(|_| End)
    }
}
