//! A connection to a mail server, from the greeting to QUIT.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::{
    super::{
        compose::Letter,
        failure::{Cause, Failure, Phase},
        hello,
        reply::Reply,
        server::Security,
    },
    Settings,
    login::log_in,
    offers::Offers,
    wire::{Stream, Wire},
};

/// QUIT is a courtesy.
const QUIT_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that has said EHLO and, where needed, logged in.
pub struct Connection {
    wire: Wire,
    offers: Offers,
    settings: Arc<Settings>,
}

impl Connection {
    /// Connects, encrypts and logs in as the settings say.
    pub async fn open(settings: &Arc<Settings>) -> Result<Self, Failure> {
        let (socket, local) = connect(settings).await?;
        let host = hostname::get().ok().and_then(|name| name.into_string().ok());
        let name = hello::name(settings.hello.as_deref(), host.as_deref(), local);
        let stream: Box<dyn Stream> = match settings.server.security {
            Security::Tls => encrypt(settings, Phase::Connect, Box::new(socket)).await?,
            Security::Plain | Security::StartTls => Box::new(socket),
        };
        let mut wire = Wire::new(stream);
        positive(Phase::Connect, wire.ask(Phase::Connect, b"", settings.step_timeout).await?)?;
        let offers = greet(&mut wire, Phase::Connect, &name, settings.step_timeout).await?;
        let mut connection = Self { wire, offers, settings: settings.clone() };
        if settings.server.security == Security::StartTls {
            connection = connection.start_tls(&name).await?;
        }
        connection.log_in().await?;
        Ok(connection)
    }

    async fn start_tls(mut self, name: &str) -> Result<Self, Failure> {
        let unfit = |text: &str| Failure { phase: Phase::StartTls, cause: Cause::Unfit(text.into()) };
        if !self.offers.start_tls {
            return Err(unfit("STARTTLS is not supported by the server"));
        }
        self.step(Phase::StartTls, "STARTTLS").await?;
        let plain = self.wire.into_stream().ok_or_else(|| unfit("the server sent text before the encryption"))?;
        self.wire = Wire::new(encrypt(&self.settings, Phase::StartTls, plain).await?);
        self.offers = greet(&mut self.wire, Phase::StartTls, name, self.settings.step_timeout).await?;
        Ok(self)
    }

    async fn log_in(&mut self) -> Result<(), Failure> {
        let settings = self.settings.clone();
        let Some(user) = &settings.server.user else {
            return Ok(());
        };
        let password = settings.password.as_ref().map_or("", |password| password.reveal());
        log_in(&mut self.wire, &self.offers, user, password, settings.step_timeout).await
    }

    /// Whether a kept connection can be used: the server has said nothing since its last reply, and has not hung up.
    pub fn is_quiet(&mut self) -> bool {
        self.wire.is_quiet()
    }

    /// Names sender and recipient.
    pub async fn envelope(&mut self, letter: &Letter) -> Result<(), Failure> {
        let parameters = self.parameters(letter)?;
        self.step(Phase::Mail, &format!("MAIL FROM:<{}>{parameters}", letter.from)).await?;
        self.step(Phase::Rcpt, &format!("RCPT TO:<{}>", letter.to)).await?;
        Ok(())
    }

    /// Sends the message, and returns the server's answer.
    pub async fn message(&mut self, letter: &Letter) -> Result<String, Failure> {
        let limits = (self.settings.step_timeout, self.settings.data_timeout);
        let reply = self.wire.ask(Phase::Data, b"DATA\r\n", limits.0).await?;
        if !(300..400).contains(&reply.code) {
            return Err(Failure::reply(Phase::Data, reply));
        }
        let reply = self.wire.ask(Phase::Dot, &stuffed(&letter.bytes), limits.1).await?;
        Ok(positive(Phase::Dot, reply)?.text())
    }

    /// Says goodbye.
    pub async fn quit(mut self) {
        // The connection ends in any case.
        let _ = self.wire.ask(Phase::Connect, b"QUIT\r\n", QUIT_TIMEOUT).await;
    }

    async fn step(&mut self, phase: Phase, command: &str) -> Result<Reply, Failure> {
        let line = format!("{command}\r\n");
        positive(phase, self.wire.ask(phase, line.as_bytes(), self.settings.step_timeout).await?)
    }

    /// The parameters of MAIL, each with a space before it.
    fn parameters(&self, letter: &Letter) -> Result<String, Failure> {
        let (offers, size) = (&self.offers, letter.bytes.len() as u64);
        let mut parameters = String::new();
        let impossible = |text: String| Failure { phase: Phase::Mail, cause: Cause::Impossible(text) };
        if let Some(most) = offers.max_size.filter(|most| size > *most) {
            return Err(impossible(format!("the mail has {size} bytes, the server takes {most}")));
        }
        if letter.needs_smtputf8 && !offers.smtp_utf8 {
            return Err(impossible("the address needs SMTPUTF8, which the server does not offer".into()));
        }
        if offers.size {
            parameters += &format!(" SIZE={size}");
        }
        if letter.needs_smtputf8 && offers.eight_bit || !letter.bytes.is_ascii() {
            parameters += " BODY=8BITMIME";
        }
        if letter.needs_smtputf8 {
            parameters += " SMTPUTF8";
        }
        Ok(parameters)
    }
}

/// Nagle's algorithm is off: the final dot must not wait until the message is acknowledged, which a server may put off by 40 ms.
async fn connect(settings: &Settings) -> Result<(TcpStream, SocketAddr), Failure> {
    let address = (&*settings.server.host, settings.server.port);
    let opening = timeout(settings.step_timeout, TcpStream::connect(address)).await;
    let opened = opening.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let opened = opened.and_then(|stream| stream.set_nodelay(true).and_then(|()| Ok((stream.local_addr()?, stream))));
    opened
        .map(|(local, stream)| (stream, local))
        .map_err(|error| Failure::network(Phase::Connect, format!("no connection: {error}")))
}

async fn encrypt(settings: &Settings, phase: Phase, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, Failure> {
    let handshake = settings.tls.connect(settings.name.clone(), stream);
    match timeout(settings.step_timeout, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        // rustls wraps what the server did wrong in an error of this kind; everything else is the network.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(Failure { phase, cause: Cause::Unfit(format!("TLS: {error}")) })
        }
        Ok(Err(error)) => Err(Failure::network(phase, format!("TLS: {error}"))),
        Err(_) => Err(Failure::network(phase, "no TLS handshake in time")),
    }
}

/// EHLO, or HELO where the server does not know EHLO (RFC 5321, section 3.2).
async fn greet(wire: &mut Wire, phase: Phase, name: &str, limit: Duration) -> Result<Offers, Failure> {
    let reply = wire.ask(phase, format!("EHLO {name}\r\n").as_bytes(), limit).await?;
    if matches!(reply.code, 500 | 502) {
        positive(phase, wire.ask(phase, format!("HELO {name}\r\n").as_bytes(), limit).await?)?;
        return Ok(Offers::default());
    }
    Ok(Offers::read(&positive(phase, reply)?))
}

fn positive(phase: Phase, reply: Reply) -> Result<Reply, Failure> {
    if (200..300).contains(&reply.code) { Ok(reply) } else { Err(Failure::reply(phase, reply)) }
}

/// A message as DATA carries it: a dot at the beginning of a line is doubled, and a dot alone ends it (RFC 5321, section 4.5.2).
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            bytes.push(b'.');
        }
        bytes.extend_from_slice(line);
    }
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b".\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_at_the_beginning_of_a_line_does_not_end_the_message() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\r\nc."), b"a\r\n..\r\n...b\r\nc.\r\n.\r\n");
        assert_eq!(stuffed(b".\r\n"), b"..\r\n.\r\n");
    }
}
