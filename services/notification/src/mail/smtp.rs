//! One connection to a mail server, owned by one sender.
//!
//! lettre bounds nothing but the TCP connect (lettre/lettre#1027), so each step runs under a timeout of ours. A connection that
//! failed in any way, or whose future was dropped, is never used again: its replies would be off by one, and a refused message
//! would pass for an accepted one. For the same reason each step accepts its own reply codes only.

use std::{future::Future, io::ErrorKind, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use lettre::transport::smtp::{
    Error,
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    response::Response,
};
use tokio::{net::TcpStream, time::timeout};

use super::{
    compose::Letter,
    config::Config,
    outcome::{Failure, Outcome, Phase, outcome},
    server::{Security, Server},
};

/// Saying goodbye is a courtesy.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How every connection is made.
pub struct Settings {
    server: Server,
    credentials: Option<Credentials>,
    tls: TlsParameters,
    hello: ClientId,
    step_timeout: Duration,
    data_timeout: Duration,
}

impl Settings {
    /// A server and what it takes to use it.
    pub fn new(config: &Config, server: Server, password: Option<String>) -> Result<Self> {
        let tls = TlsParameters::new(server.host.clone()).context("TLS can not be set up")?;
        let credentials = server.user.clone().map(|user| Credentials::new(user, password.unwrap_or_default()));
        let (step_timeout, data_timeout) = (config.smtp_timeout(), config.smtp_data_timeout());
        Ok(Self { server, credentials, tls, hello: ClientId::default(), step_timeout, data_timeout })
    }

    /// Host and port.
    pub fn address(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }
}

/// A step that failed.
struct Failed {
    phase: Phase,
    failure: Failure,
}

impl From<Failed> for Outcome {
    fn from(failed: Failed) -> Self {
        outcome(failed.phase, &failed.failure)
    }
}

/// A connection, kept as long as nothing goes wrong.
pub struct Smtp {
    settings: Arc<Settings>,
    connection: Option<AsyncSmtpConnection>,
}

impl Smtp {
    /// Not yet connected.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings, connection: None }
    }

    /// Connects, unless a connection is kept.
    pub async fn connect(&mut self) -> Result<(), Outcome> {
        if self.connection.is_none() {
            self.connection = Some(self.settings.connect().await?);
        }
        Ok(())
    }

    /// Goes as far as the server's consent to sender and recipient.
    pub async fn prepare(&mut self, letter: &Letter) -> Result<(), Outcome> {
        let settings = self.settings.clone();
        if let Some(kept) = self.connection.take() {
            match settings.envelope(kept, letter).await {
                Err(failed) if is_stale(&failed) => {}
                result => return self.keep(result),
            }
        }
        let fresh = settings.connect().await?;
        self.keep(settings.envelope(fresh, letter).await)
    }

    fn keep(&mut self, result: Result<AsyncSmtpConnection, Failed>) -> Result<(), Outcome> {
        self.connection = Some(result?);
        Ok(())
    }

    /// Sends the message that was prepared.
    pub async fn deliver(&mut self, letter: &Letter) -> Outcome {
        let Some(mut connection) = self.connection.take() else {
            return Outcome::Later("the connection is gone".into());
        };
        match self.settings.message(&mut connection, letter).await {
            Ok(reply) => {
                self.connection = Some(connection);
                Outcome::Sent(reply)
            }
            Err(failed) => failed.into(),
        }
    }

    /// Drops the connection, in whatever state it is.
    pub fn abandon(&mut self) {
        self.connection = None;
    }

    /// Ends an idle connection.
    pub async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // Whatever comes of it: the connection is gone afterwards.
            let _ = timeout(QUIT_TIMEOUT, connection.quit()).await;
        }
    }
}

/// A kept connection that the server has closed meanwhile, perhaps with a 421: no fault of the mail.
fn is_stale(failed: &Failed) -> bool {
    failed.phase == Phase::Mail && matches!(failed.failure, Failure::Network(_) | Failure::Reply(421, _))
}

impl Settings {
    async fn connect(&self) -> Result<AsyncSmtpConnection, Failed> {
        let mut connection = match self.server.security {
            // Here lettre opens the socket: the one case where a message may wait for a delayed ack.
            Security::Tls => self.step(Phase::Connect, self.connect_tls()).await?,
            Security::Plain | Security::StartTls => self.connect_plain().await?,
        };
        if self.server.security == Security::StartTls {
            self.step(Phase::StartTls, connection.starttls(self.tls.clone(), &self.hello)).await?;
        }
        if let Some(credentials) = &self.credentials {
            let login = connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials);
            expect(Phase::Auth, self.step(Phase::Auth, login).await?, &[235])?;
        }
        Ok(connection)
    }

    async fn connect_tls(&self) -> Result<AsyncSmtpConnection, Error> {
        let address = (&*self.server.host, self.server.port);
        AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, Some(self.tls.clone()), None).await
    }

    /// lettre writes a message and its final dot one after the other. On a socket of its own making the dot waits until the
    /// message is acknowledged, which a server puts off by 40 ms (RFC 896 meets RFC 1122, section 4.2.3.2): so the socket is ours.
    async fn connect_plain(&self) -> Result<AsyncSmtpConnection, Failed> {
        let address = (&*self.server.host, self.server.port);
        let opening = timeout(self.step_timeout, TcpStream::connect(address)).await;
        let opened = opening.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        let stream = opened.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(|error| Failed {
            phase: Phase::Connect,
            failure: Failure::Network(format!("no connection: {error}")),
        })?;
        let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello);
        self.step(Phase::Connect, greeting).await
    }

    async fn envelope(
        &self,
        mut connection: AsyncSmtpConnection,
        letter: &Letter,
    ) -> Result<AsyncSmtpConnection, Failed> {
        let parameters = parameters(&connection, letter)?;
        let mail = connection.command(Mail::new(Some(letter.from.clone()), parameters));
        expect(Phase::Mail, self.step(Phase::Mail, mail).await?, &[250])?;
        let rcpt = connection.command(Rcpt::new(letter.to.clone(), Vec::new()));
        expect(Phase::Rcpt, self.step(Phase::Rcpt, rcpt).await?, &[250, 251, 252])?;
        Ok(connection)
    }

    async fn message(&self, connection: &mut AsyncSmtpConnection, letter: &Letter) -> Result<String, Failed> {
        expect(Phase::Data, self.step(Phase::Data, connection.command(Data)).await?, &[354])?;
        let reply = bounded(Phase::Dot, self.data_timeout, connection.message(&letter.bytes)).await?;
        expect(Phase::Dot, reply, &[250])
    }

    async fn step<T>(&self, phase: Phase, step: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        bounded(phase, self.step_timeout, step).await
    }
}

async fn bounded<T>(phase: Phase, limit: Duration, step: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
    let failure = match timeout(limit, step).await {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => failure(&error),
        Err(_) => Failure::Network(format!("no answer within {limit:?} in phase {phase:?}")),
    };
    Err(Failed { phase, failure })
}

fn failure(error: &Error) -> Failure {
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => Failure::Reply(code.into(), source),
        None if error.is_client() || error.is_tls() => Failure::Unfit(error.to_string()),
        None => Failure::Network(error.to_string()),
    }
}

/// The text of a reply that has one of the codes; any other one belongs to another question.
fn expect(phase: Phase, reply: Response, codes: &[u16]) -> Result<String, Failed> {
    let code = u16::from(reply.code());
    let text = format!("{code} {}", reply.message().collect::<Vec<_>>().join(" "));
    if codes.contains(&code) {
        return Ok(text);
    }
    Err(Failed { phase, failure: Failure::Network(format!("unexpected reply in phase {phase:?}: {text}")) })
}

fn parameters(connection: &AsyncSmtpConnection, letter: &Letter) -> Result<Vec<MailParameter>, Failed> {
    let mut parameters = Vec::new();
    let server = connection.server_info();
    let needs = [
        (letter.has_foreign_address(), Extension::SmtpUtfEight, MailParameter::SmtpUtfEight),
        (!letter.bytes.is_ascii(), Extension::EightBitMime, MailParameter::Body(MailBodyParameter::EightBitMime)),
    ];
    for (needed, extension, parameter) in needs {
        if needed && !server.supports_feature(extension) {
            let failure = Failure::Unfit(format!("the mail needs {extension}, which the server does not offer"));
            return Err(Failed { phase: Phase::Rcpt, failure });
        }
        if needed {
            parameters.push(parameter);
        }
    }
    Ok(parameters)
}
