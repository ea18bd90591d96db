//! One client's conversation (RFC 5321), as far as a sender of one message after the other needs it.

use std::io;

use comanda_checker::history::What;
use rand::{RngExt, rngs::StdRng};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::watch,
};

use super::{
    message,
    mode::{Action, Mode, Phase},
};
use crate::recorder::Recorder;

/// The longest line that is read; a longer one ends the conversation.
const LINE_BYTES: u64 = 64 * 1024;

/// A conversation.
pub(super) struct Conversation {
    pub(super) stream: BufReader<TcpStream>,
    pub(super) mode: watch::Receiver<Mode>,
    pub(super) recorder: Recorder,
    pub(super) rng: StdRng,
    /// Of the message that is under way.
    pub(super) recipients: Vec<String>,
}

/// A message that was read to its final dot.
struct Message {
    message_id: String,
}

impl Conversation {
    /// Talks until either side closes the connection, which is what an error means.
    pub(super) async fn hold(mut self) -> io::Result<()> {
        self.answer(Phase::Greeting, "220 trial ready").await?;
        loop {
            let line = self.line().await?;
            let line = String::from_utf8_lossy(&line);
            match &*message::verb(&line) {
                "EHLO" | "HELO" => self.answer(Phase::Hello, "250-trial\r\n250-8BITMIME\r\n250 SMTPUTF8").await?,
                "MAIL" => self.mail().await?,
                "RCPT" => self.recipient(&line).await?,
                "DATA" => self.data().await?,
                "RSET" | "NOOP" => self.send("250 2.0.0 well").await?,
                "QUIT" => return self.send("221 2.0.0 bye").await,
                _ => self.send("500 5.5.1 what?").await?,
            }
        }
    }

    async fn mail(&mut self) -> io::Result<()> {
        self.recipients.clear();
        self.answer(Phase::Mail, "250 2.1.0 well").await
    }

    async fn recipient(&mut self, line: &str) -> io::Result<()> {
        match self.action(Phase::Recipient) {
            Action::Consent => {
                self.recipients.push(message::recipient(line));
                self.send("250 2.1.5 well").await
            }
            other => self.act(other, "250 2.1.5 well").await,
        }
    }

    async fn data(&mut self) -> io::Result<()> {
        match self.action(Phase::Data) {
            Action::Consent => self.send("354 go on").await?,
            // A refusal is followed by commands, not by a message.
            other => return self.act(other, "354 go on").await,
        }
        let message = self.message().await?;
        let action = self.action(Phase::Dot);
        // Before it is said: what a client knows must be in the history.
        self.note(message, reply_code(action));
        self.act(action, "250 2.0.0 kept").await
    }

    async fn message(&mut self) -> io::Result<Message> {
        let (mut is_head, mut message_id) = (true, String::new());
        let mut cuts = self.mode.borrow().cuts_message(self.rng.random());
        loop {
            let line = self.line().await?;
            if line == b".\r\n" {
                return Ok(Message { message_id });
            }
            if std::mem::take(&mut cuts) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            is_head &= line != b"\r\n";
            if let Some(found) = message::message_id(&line).filter(|_| is_head) {
                message_id = found;
            }
        }
    }

    fn note(&mut self, message: Message, reply: u16) {
        let recipients = std::mem::take(&mut self.recipients);
        self.recorder.record(What::Mail { message_id: message.message_id, recipients, reply });
    }

    async fn answer(&mut self, phase: Phase, consent: &str) -> io::Result<()> {
        let action = self.action(phase);
        self.act(action, consent).await
    }

    fn action(&mut self, phase: Phase) -> Action {
        self.mode.borrow_and_update().action(phase, self.rng.random())
    }

    async fn act(&mut self, action: Action, consent: &str) -> io::Result<()> {
        match action {
            Action::Consent => self.send(consent).await,
            Action::Refuse(line) => self.send(line).await,
            Action::ConsentAndCut => {
                self.send(consent).await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Action::Silence => self.be_silent().await,
            Action::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Until the mode is set again, or the client has had enough; then the connection is of no use any more.
    async fn be_silent(&mut self) -> io::Result<()> {
        let mut rest = [0; 1024];
        let mode = &mut self.mode;
        tokio::select! {
            _ = mode.changed() => {}
            () = async { while self.stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} } => {}
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        (&mut self.stream).take(LINE_BYTES).read_until(b'\n', &mut line).await?;
        if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    async fn send(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await
    }
}

/// The code that an action after the final dot answers with; 0 where it answers nothing.
fn reply_code(action: Action) -> u16 {
    match action {
        Action::Consent | Action::ConsentAndCut => 250,
        Action::Refuse(line) => line.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default(),
        Action::Silence | Action::Cut => 0,
    }
}
