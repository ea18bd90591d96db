//! Encryption as clients meet it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use comanda_kit::{
    server::{Limits, bind},
    shutdown::Tasks,
    testing::{
        Logs,
        certificates::{Authority, Folder},
        eventually,
    },
    tls::{Clients, Config, Protocol},
};
use comanda_proto::v1::ListMailsResponse;
use prost::Message;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    http2::{Http2, messages},
    server::{LIST, Server, list},
};

/// A server that encrypts, and what its files are made with.
struct Encrypted {
    server: Server,
    authority: Authority,
    folder: Folder,
}

impl Encrypted {
    fn start(limits: Limits) -> Result<Self> {
        Self::start_for(limits, |_| Ok(Clients::default()))
    }

    fn start_for(limits: Limits, clients: impl FnOnce(&Folder) -> Result<Clients>) -> Result<Self> {
        let (folder, authority, tasks) = (Folder::new()?, Authority::new()?, Tasks::new());
        let (cert, key) = (folder.file("server.crt"), folder.file("server.key"));
        authority.sign(&["localhost"], &cert, &key)?;
        let config = Config { tls_cert: Some(cert), tls_key: Some(key) };
        let tls = config.listen(&clients(&folder)?, Protocol::Http2, &tasks)?;
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.with_tls(tls);
        Ok(Self { server: Server::start_on(listener, limits, tasks)?, authority, folder })
    }

    async fn connect(&self) -> Result<Http2> {
        self.connect_as(&self.authority, b"h2", None).await
    }

    async fn connect_as(
        &self,
        trusted: &Authority,
        protocol: &[u8],
        identity: Option<(&Path, &Path)>,
    ) -> Result<Http2> {
        let stream = TcpStream::connect(self.server.replica.address).await?;
        let connector = trusted.connector(protocol, identity)?;
        let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        Http2::over(stream, 65_535).await
    }
}

/// What the server says of who calls.
async fn peer(connection: &Http2) -> Result<String> {
    let answer = messages(connection.grpc(LIST, &[], &list("peer"), false).await?).await?;
    Ok(ListMailsResponse::decode(answer.get(5..).context("no message")?)?.next_page_token)
}

#[tokio::test]
async fn calls_are_encrypted_and_nothing_else_is_taken() -> Result<()> {
    let encrypted = Encrypted::start(Limits::default())?;
    assert_eq!(peer(&encrypted.connect().await?).await?, "nobody");
    let stranger = Authority::new()?;
    assert!(encrypted.connect_as(&stranger, b"h2", None).await.is_err(), "a server of another CA is trusted");
    assert!(encrypted.connect_as(&encrypted.authority, b"smtp", None).await.is_err(), "another protocol is taken");
    let plain = Http2::connect(encrypted.server.replica.address, 65_535).await;
    let answered = match plain {
        Ok(plain) => plain.grpc(LIST, &[], &list(""), false).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "a call without encryption is answered");
    encrypted.server.replica.stop().await
}

#[tokio::test]
async fn clients_that_say_nothing_hold_up_nobody_and_lose_their_places() -> Result<()> {
    let encrypted = Encrypted::start(Limits { max_connections: 30, ..Limits::default() })?;
    let address = encrypted.server.replica.address;
    let mut silent = Vec::new();
    for _ in 0..29 {
        silent.push(TcpStream::connect(address).await?);
    }
    let connected = tokio::time::timeout(Duration::from_secs(4), encrypted.connect()).await;
    assert_eq!(peer(&connected.context("silent clients hold up others")??).await?, "nobody");
    // No place is free now; those of the silent ones are, within the time that a handshake has.
    silent.push(TcpStream::connect(address).await?);
    assert_eq!(peer(&tokio::time::timeout(Duration::from_secs(30), encrypted.connect()).await??).await?, "nobody");
    let closed = tokio::time::timeout(Duration::from_secs(30), silent[0].read(&mut [0])).await?;
    assert_eq!(closed.unwrap_or(0), 0, "it is closed");
    Ok(())
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_handshake_is_forgotten() -> Result<()> {
    let encrypted = Encrypted::start(Limits { max_connections: 1, ..Limits::default() })?;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(encrypted.server.replica.address).await?;
        // The head of a ClientHello of 512 bytes.
        stream.write_all(&[22, 3, 1, 2, 0]).await?;
    }
    assert_eq!(peer(&encrypted.connect().await?).await?, "nobody");
    Ok(())
}

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_breaks_no_old_one() -> Result<()> {
    let encrypted = Encrypted::start(Limits::default())?;
    let old = encrypted.connect().await?;
    let next = Authority::new()?;
    next.sign(&["localhost"], &encrypted.folder.file("server.crt"), &encrypted.folder.file("server.key"))?;
    let new = eventually("the new certificate is shown", async || {
        assert_eq!(peer(&old).await.expect("the old connection lasts"), "nobody");
        encrypted.connect_as(&next, b"h2", None).await.ok()
    })
    .await;
    assert_eq!((peer(&new).await?, peer(&old).await?), ("nobody".into(), "nobody".into()));
    assert!(encrypted.connect().await.is_err(), "the old certificate is still shown");
    Ok(())
}

#[tokio::test]
async fn files_that_cannot_be_used_leave_the_old_certificate() -> Result<()> {
    let (logs, _guard) = Logs::catch();
    let encrypted = Encrypted::start(Limits::default())?;
    let (cert, key) = (encrypted.folder.file("server.crt"), encrypted.folder.file("server.key"));
    let told = "the old certificate stays";
    let other = encrypted.folder.file("other");
    let broken: [(&str, &dyn Fn() -> Result<()>); 3] = [
        ("a file that is none", &|| Ok(fs::write(&cert, "no certificate")?)),
        ("a certificate of another key", &|| encrypted.authority.sign(&["localhost"], &cert, &other)),
        ("no file", &|| Ok(fs::remove_file(&key)?)),
    ];
    for (index, (what, break_it)) in broken.iter().enumerate() {
        break_it()?;
        eventually(what, async || (logs.count(told) == index + 1).then_some(())).await;
        assert_eq!(peer(&encrypted.connect().await?).await?, "nobody", "{what}");
    }
    encrypted.authority.sign(&["localhost"], &cert, &key)?;
    eventually("good files are taken again", async || (logs.count("is valid until") == 2).then_some(())).await;
    assert_eq!(peer(&encrypted.connect().await?).await?, "nobody");
    assert_eq!(logs.count(told), 3, "each is told once");
    Ok(())
}

#[tokio::test]
async fn a_client_certificate_says_who_calls_and_those_of_others_are_refused() -> Result<()> {
    for require_client_cert in [false, true] {
        let (clients, strangers) = (Authority::new()?, Authority::new()?);
        let encrypted = Encrypted::start_for(Limits::default(), |folder| {
            clients.write(&folder.file("clients.crt"))?;
            Ok(Clients { client_ca: Some(folder.file("clients.crt")), require_client_cert })
        })?;
        let (cert, key) = (encrypted.folder.file("gateway.crt"), encrypted.folder.file("gateway.key"));
        clients.sign(&["gateway.internal"], &cert, &key)?;
        let identity = Some((&*cert, &*key));
        let known = encrypted.connect_as(&encrypted.authority, b"h2", identity).await?;
        assert_eq!(peer(&known).await?, "gateway.internal");

        let nobody = async { peer(&encrypted.connect().await?).await };
        assert_eq!(nobody.await.ok().as_deref(), (!require_client_cert).then_some("nobody"));

        strangers.sign(&["gateway.internal"], &cert, &key)?;
        let stranger = async { peer(&encrypted.connect_as(&encrypted.authority, b"h2", identity).await?).await };
        assert!(stranger.await.is_err(), "a certificate of another CA is taken");
    }
    Ok(())
}

#[tokio::test]
async fn files_that_are_not_good_are_refused_at_the_start_by_name() -> Result<()> {
    let (folder, authority) = (Folder::new()?, Authority::new()?);
    let (cert, key) = (folder.file("server.crt"), folder.file("server.key"));
    let refused = |clients: &Clients| {
        let config = Config { tls_cert: Some(cert.clone()), tls_key: Some(key.clone()) };
        let result = config.listen(clients, Protocol::Http2, &Tasks::new());
        result.err().map(|error| format!("{error:#}")).unwrap_or_default()
    };
    let none = Clients::default();
    assert!(refused(&none).contains("server.crt"), "{}", refused(&none));
    authority.sign(&["localhost"], &cert, &key)?;
    assert_eq!(refused(&none), "");
    fs::write(&key, "no key")?;
    assert!(refused(&none).contains("server.key: no private key"), "{}", refused(&none));
    authority.sign(&["localhost"], &cert, &key)?;
    fs::write(folder.file("ca.crt"), "")?;
    let clients = Clients { client_ca: Some(folder.file("ca.crt")), require_client_cert: true };
    assert!(refused(&clients).contains("ca.crt: no certificate"), "{}", refused(&clients));
    Ok(())
}
