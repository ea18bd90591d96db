//! One client's conversation.

use std::{io, sync::Arc};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use crate::{
    Action, Behaviour, Message, Phase,
    message::{path, verb},
};

/// The longest line that is read; a longer one ends the conversation.
const LINE_BYTES: u64 = 64 * 1024;

pub(crate) struct Conversation {
    stream: BufReader<TcpStream>,
    behaviour: Arc<dyn Behaviour>,
    /// The message that is under way.
    message: Message,
}

impl Conversation {
    pub(crate) fn new(stream: TcpStream, behaviour: Arc<dyn Behaviour>) -> Self {
        Self { stream: BufReader::new(stream), behaviour, message: Message::default() }
    }

    /// Talks until either side closes the connection, which is an error.
    pub(crate) async fn hold(mut self) -> io::Result<()> {
        self.behaviour.connected();
        self.answer(Phase::Greeting, "", "220 lab ready").await?;
        loop {
            let line = self.command().await?;
            match &*verb(&line) {
                "EHLO" => self.answer(Phase::Hello, &line, &hello(&self.behaviour.offers())).await?,
                "HELO" => self.answer(Phase::Hello, &line, "250 lab").await?,
                "AUTH" => self.log_in(&line).await?,
                "MAIL" => self.mail(&line).await?,
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data(&line).await?,
                "RSET" | "NOOP" => self.send("250 2.0.0 well").await?,
                "QUIT" => return self.answer(Phase::Quit, &line, "221 2.0.0 bye").await,
                _ => self.send("500 5.5.1 what?").await?,
            }
        }
    }

    async fn log_in(&mut self, line: &str) -> io::Result<()> {
        if line.eq_ignore_ascii_case("AUTH LOGIN") {
            for _ in ["user", "password"] {
                self.send("334 ").await?;
                self.command().await?;
            }
        }
        self.answer(Phase::Auth, line, "235 2.7.0 welcome").await
    }

    async fn mail(&mut self, line: &str) -> io::Result<()> {
        self.message = Message { from: path(line), ..Message::default() };
        self.answer(Phase::Mail, line, "250 2.1.0 well").await
    }

    async fn rcpt(&mut self, line: &str) -> io::Result<()> {
        let (action, consent) = (self.behaviour.action(Phase::Rcpt, line), "250 2.1.5 well");
        if (200..300).contains(&action.code(consent)) {
            self.message.to.push(path(line));
        }
        self.act(action, consent).await
    }

    async fn data(&mut self, line: &str) -> io::Result<()> {
        let (action, consent) = (self.behaviour.action(Phase::Data, line), "354 go on");
        let goes_on = action.code(consent) == 354;
        self.act(action, consent).await?;
        // A refusal is followed by commands, not by a message.
        if !goes_on {
            return Ok(());
        }
        self.read_message().await?;
        let (action, consent) = (self.behaviour.action(Phase::Dot, ""), "250 2.0.0 accepted");
        let code = action.code(consent);
        let is_accepted = (200..300).contains(&code) || matches!(action, Action::Accept(_));
        self.behaviour.received(std::mem::take(&mut self.message), is_accepted, code);
        self.behaviour.clone().before_answer().await;
        match action {
            Action::Accept(then) => self.act(*then, consent).await,
            action => self.act(action, consent).await,
        }
    }

    async fn read_message(&mut self) -> io::Result<()> {
        let mut cuts = self.behaviour.cuts_message();
        loop {
            let line = self.line().await?;
            if line == b".\r\n" {
                return Ok(());
            }
            if std::mem::take(&mut cuts) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            self.message.bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    async fn answer(&mut self, phase: Phase, line: &str, consent: &str) -> io::Result<()> {
        self.act(self.behaviour.action(phase, line), consent).await
    }

    async fn act(&mut self, action: Action, consent: &str) -> io::Result<()> {
        match action {
            Action::Consent => self.send(consent).await,
            Action::Reply(line) => self.send(&line).await,
            Action::Raw(bytes) => self.write(&bytes).await,
            Action::ConsentAndCut => {
                self.send(consent).await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Action::Twice(line) => {
                self.send(consent).await?;
                self.send(&line).await
            }
            Action::Silence => self.be_silent().await,
            Action::Cut | Action::Accept(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Until the behaviour ends it or the client hangs up; the connection is of no use afterwards.
    async fn be_silent(&mut self) -> io::Result<()> {
        let (behaviour, mut rest) = (self.behaviour.clone(), [0; 1024]);
        tokio::select! {
            () = behaviour.silence() => {}
            () = async { while self.stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} } => {}
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    async fn command(&mut self) -> io::Result<String> {
        let line = self.line().await?;
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
        self.behaviour.commanded(&line);
        Ok(line)
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES).read_until(b'\n', &mut line).await?;
        if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn send(&mut self, reply: &str) -> io::Result<()> {
        let bytes = self.behaviour.written(reply);
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }
}

fn hello(offers: &[String]) -> String {
    let mut lines: Vec<_> = std::iter::once("lab").chain(offers.iter().map(String::as_str)).collect();
    let last = lines.pop().unwrap_or_default();
    let lines: String = lines.into_iter().map(|line| format!("250-{line}\r\n")).collect();
    format!("{lines}250 {last}")
}
