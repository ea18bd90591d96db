//! A mail server that keeps what it was sent. It takes its time to accept a message, so that a sender which is killed leaves mails
//! behind whose outcome is unknown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

const TIME_TO_ACCEPT: Duration = Duration::from_millis(10);

type Accepted = BTreeMap<(String, i64), Vec<String>>;

/// The server. It ends with the test's runtime.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    /// For `SMTP_URL`.
    pub url: String,
    accepted: Arc<Mutex<Accepted>>,
}

impl SmtpServer {
    /// One that accepts everything.
    pub async fn start() -> Self {
        Self::refusing("").await
    }

    /// One that refuses recipients with this domain, and says whom it refuses.
    pub async fn refusing(domain: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("smtp://{}", listener.local_addr().expect("bound"));
        let server = Self { url, accepted: Arc::default() };
        let accepted = server.accepted.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // An error means that the other side has gone away.
                tokio::spawn(converse(stream, domain, accepted.clone()));
            }
        });
        server
    }

    /// The Message-IDs of what was accepted, by order and version.
    pub fn accepted(&self) -> Accepted {
        self.accepted.lock().expect("no test panics while it holds this").clone()
    }
}

async fn converse(stream: TcpStream, refused: &'static str, accepted: Arc<Mutex<Accepted>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let refuses = !refused.is_empty() && line.contains(refused);
        let reply = match line.get(..4).unwrap_or_default() {
            "EHLO" => "250-test\r\n250 AUTH PLAIN\r\n".into(),
            "AUTH" => "235 welcome\r\n".into(),
            "RCPT" if refuses => format!("550 no such user: {}\r\n", line.trim()),
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                keep(&read_message(&mut stream).await?, &accepted);
                tokio::time::sleep(TIME_TO_ACCEPT).await;
                "250 kept\r\n".into()
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            _ => "250 well\r\n".into(),
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}

async fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut message = String::new();
    while !message.ends_with("\r\n.\r\n") {
        if stream.read_line(&mut message).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(message)
}

fn keep(message: &str, accepted: &Mutex<Accepted>) {
    let key = (header(message, "X-Comanda-Order"), header(message, "X-Comanda-Version").parse().expect("a version"));
    let mut accepted = accepted.lock().expect("no test panics while it holds this");
    accepted.entry(key).or_default().push(header(message, "Message-ID"));
}

/// A header of a message.
pub fn header(message: &str, name: &str) -> String {
    let mut lines = message.lines().take_while(|line| !line.is_empty());
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no header {name} in {message}")).to_owned()
}
