//! The client against servers that encrypt, from the first byte or after STARTTLS.

use std::net::SocketAddr;

use comanda_lab_smtp::ScriptedServer;
use rcgen::generate_simple_self_signed;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::{
    tests::{config, send},
    *,
};

/// What stands before a mail server, encrypts, and knows STARTTLS or not.
struct Front {
    address: SocketAddr,
    /// What a client must trust.
    roots: RootCertStore,
}

/// How the front begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Tls,
    StartTls,
    /// Sends a reply to a later command before the encryption.
    Injection,
}

impl Front {
    async fn start(name: &str, behind: &ScriptedServer, beginning: Beginning) -> Self {
        let certificate = generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a key");
        let chain = vec![certificate.cert.der().clone()];
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).expect("a root");
        let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = versions.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("they fit")));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let behind: SocketAddr = behind.url().trim_start_matches("smtp://").parse().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, acceptor.clone(), behind, beginning));
            }
        });
        Self { address, roots }
    }

    fn client(&self, url: &str) -> Smtp {
        let url = url.replace("PORT", &self.address.port().to_string());
        let server = url.parse().expect("a URL");
        let settings = Settings::trusting(self.roots.clone(), &config(&[]), server, None).expect("valid settings");
        Smtp::new(Arc::new(settings))
    }
}

/// An error is how a conversation ends.
async fn pass_on(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    behind: SocketAddr,
    beginning: Beginning,
) -> std::io::Result<()> {
    let mut server = BufReader::new(TcpStream::connect(behind).await?);
    if beginning != Beginning::Tls {
        stream.write_all(b"220 front\r\n").await?;
        read_line(&mut stream).await?;
        stream.write_all(b"250-front\r\n250 STARTTLS\r\n").await?;
        read_line(&mut stream).await?;
        let more = if beginning == Beginning::Injection { "250 injected\r\n" } else { "" };
        stream.write_all(format!("220 go on\r\n{more}").as_bytes()).await?;
        // The greeting was ours.
        server.read_line(&mut String::new()).await?;
    }
    let mut encrypted = acceptor.accept(stream).await?;
    tokio::io::copy_bidirectional(&mut encrypted, &mut server).await?;
    Ok(())
}

/// Reads no byte beyond the line: those belong to the encryption.
async fn read_line(stream: &mut TcpStream) -> std::io::Result<()> {
    while stream.read_u8().await? != b'\n' {}
    Ok(())
}

const TLS: &str = "smtps://localhost:PORT";
const START_TLS: &str = "smtp://localhost:PORT?tls=required";

#[tokio::test]
async fn a_mail_goes_over_an_encrypted_connection() {
    for (url, beginning) in [(TLS, Beginning::Tls), (START_TLS, Beginning::StartTls)] {
        let server = ScriptedServer::start().await.expect("a free port");
        let front = Front::start("localhost", &server, beginning).await;
        let mut client = front.client(url);
        for _ in 0..2 {
            send(&mut client, "ana@example.com").await.expect("sent");
        }
        client.close().await;
        assert_eq!((server.accepted().len(), server.connections()), (2, 1));
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_nobody_known_gets_nothing() {
    for (url, beginning) in [(TLS, Beginning::Tls), (START_TLS, Beginning::StartTls)] {
        let server = ScriptedServer::start().await.expect("a free port");
        let other = Front::start("other.example", &server, beginning).await;
        let mut unknown = Front::start("localhost", &server, beginning).await;
        unknown.roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for front in [other, unknown] {
            let failure = send(&mut front.client(url), "ana@example.com").await.expect_err("not trusted");
            assert!(matches!(failure.cause, Cause::Unfit(_)), "{failure:?}");
        }
        assert!(server.commands("MAIL").is_empty());
    }
}

#[tokio::test]
async fn what_was_sent_before_the_encryption_is_not_taken_for_what_came_after_it() {
    let server = ScriptedServer::start().await.expect("a free port");
    let front = Front::start("localhost", &server, Beginning::Injection).await;
    let failure = send(&mut front.client(START_TLS), "ana@example.com").await.expect_err("refused");
    assert!(matches!(failure.cause, Cause::Unfit(_)), "{failure:?}");
    assert!(server.commands("EHLO").is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_a_failure_within_the_deadline() {
    let server = ScriptedServer::start().await.expect("a free port");
    let url = server.url().replace("smtp://", "smtps://");
    let settings = Settings::new(&config(&[]), url.parse().expect("a URL"), None).expect("valid settings");
    let failure = send(&mut Smtp::new(Arc::new(settings)), "ana@example.com").await.expect_err("no TLS");
    assert_eq!(failure.phase, Phase::Connect);
}
