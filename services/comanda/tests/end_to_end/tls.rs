//! Encryption between processes: roles, the gateway and the client verbs, with the files that scripts/certs makes.

use std::{net::SocketAddr, path::Path, process::Command};

use comanda_client::tls::{Connector, Tls};
use comanda_kit::testing::eventually;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::harness::{Ended, Role, World};

/// Runs scripts/certs in the folder of a test.
fn certs(world: &World, args: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/certs");
    let ended = Command::new(script).arg("--dir").arg(world.path("certs")).args(args).output().expect("bash");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// A file that scripts/certs made.
fn file(world: &World, name: &str) -> String {
    world.path("certs").join(name).display().to_string()
}

/// A world with certificates, and the flags of what listens and of who calls.
async fn encrypted() -> (World, [String; 7], [String; 6]) {
    let world = World::new().await;
    certs(&world, &["server"]);
    certs(&world, &["client", "gateway"]);
    let (ca, cert, key) = (file(&world, "ca.crt"), file(&world, "server.crt"), file(&world, "server.key"));
    let listening = ["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca, "--require-client-cert"];
    let (cert, key) = (file(&world, "gateway.crt"), file(&world, "gateway.key"));
    let calling = ["--ca", &ca, "--client-cert", &cert, "--client-key", &key];
    let (listening, calling) = (listening.map(str::to_owned), calling.map(str::to_owned));
    (world, listening, calling)
}

fn with<'a>(words: &[&'a str], flags: &'a [String]) -> Vec<&'a str> {
    words.iter().copied().chain(flags.iter().map(String::as_str)).collect()
}

/// Asks until it is answered as wanted.
async fn answered(world: &World, args: &[&str], wanted: impl Fn(&Ended) -> bool) -> Ended {
    eventually(&args.join(" "), async || {
        let ended = world.run(args).await;
        wanted(&ended).then_some(ended)
    })
    .await
}

fn succeeded(ended: &Ended) -> bool {
    ended.code == Some(0)
}

/// The first line of a gateway's answer about orders.
async fn orders(world: &World, gateway: SocketAddr) -> Option<String> {
    let tls = Tls { ca: Some(world.path("certs/ca.crt")), ..Tls::default() };
    let connecting = Connector::new(tls, b"http/1.1").connect("localhost", gateway.port()).await;
    let mut connection = BufReader::new(connecting.ok()?);
    connection.write_all(b"GET /v1/orders HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.ok()?;
    let mut line = String::new();
    connection.read_line(&mut line).await.ok()?;
    Some(line.trim().to_owned())
}

async fn address(role: &mut Role) -> String {
    format!("https://{}", role.address().await)
}

fn http_address(role: &Role) -> SocketAddr {
    let log = role.log();
    let (_, rest) = log.split_once("HTTP on ").expect("it says so");
    rest.split_once(',').expect("an address").0.parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_and_the_gateway_reach_encrypted_roles_with_a_certificate_and_nobody_without() {
    let (world, listening, calling) = encrypted().await;
    let all = with(&["all"], &listening);
    let mut all = world.start(&with(&all, &calling));
    let addr = address(&mut all).await;
    answered(&world, &with(&["healthcheck", "--addr", &addr], &calling), succeeded).await;
    let create = ["order", "create", "--addr", &addr, "--product", "Pizza", "--price", "12.50"];
    world.succeeds(&with(&create, &calling)).await;

    let ca = &calling[..2];
    let nobody = world.run(&with(&["order", "list", "--addr", &addr], ca)).await;
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
    let untrusting = world.run(&["order", "list", "--addr", &addr]).await;
    assert!(untrusting.code == Some(3) && untrusting.err.contains("UnknownIssuer"), "{untrusting:?}");
    let plain = world.run(&["order", "list", "--addr", addr.trim_start_matches("https://")]).await;
    assert_eq!(plain.code, Some(3), "{plain:?}");

    all.says("HTTP on ").await;
    let http = format!("https://{}", http_address(&all));
    answered(&world, &with(&["healthcheck", "--http", &http], ca), succeeded).await;
    world.stop([all]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_its_own_calls_with_its_certificate_and_takes_new_ones_without_a_restart() {
    let (world, listening, calling) = encrypted().await;
    let all = with(&["all", "--no-http"], &listening);
    let mut all = world.start(&all);
    let addr = address(&mut all).await;
    let gateway = with(&["gateway", "--addr", &addr], &calling);
    let gateway = with(&gateway, &listening[..4]);
    let refused = world.run(&gateway).await;
    assert!(refused.code == Some(1) && refused.err.contains("--access required"), "{refused:?}");
    let mut gateway = world.start(&with(&gateway, &["--insecure".to_owned()]));
    let gateway_address = gateway.address().await;
    let http = format!("https://{gateway_address}");
    let healthcheck = with(&["healthcheck", "--http", &http], &calling[..2]);
    answered(&world, &healthcheck, succeeded).await;
    let get = async || (orders(&world, gateway_address).await? == "HTTP/1.1 200 OK").then_some(());
    eventually("the gateway reaches the roles", get).await;

    // Another CA, and everything that it signs. Nothing is started again but the connections.
    std::fs::remove_file(world.path("certs/ca.key")).expect("a key");
    let old = std::fs::read_to_string(file(&world, "ca.crt")).expect("a CA");
    let old = world.file("old.crt", &old);
    certs(&world, &["server"]);
    certs(&world, &["client", "gateway"]);
    answered(&world, &healthcheck, succeeded).await;
    answered(&world, &with(&["healthcheck", "--addr", &addr], &calling), succeeded).await;
    let distrusting = |ended: &Ended| ended.code == Some(1) && ended.err.contains("invalid peer certificate");
    answered(&world, &["healthcheck", "--addr", &addr, "--ca", &old], distrusting).await;
    // The roles are new to this gateway too: its old connections end with their process.
    all.kill();
    all.start_again();
    eventually("the gateway reaches the roles again", get).await;
    world.stop([all, gateway]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let world = World::unmigrated().await;
    let (cert, key) = (world.file("server.crt", "nothing"), world.file("server.key", "nothing"));
    let refused = world.run(&["ordering", "--tls-cert", &cert, "--tls-key", &key]).await;
    assert!(refused.code == Some(1) && refused.err.contains("server.crt: no certificate"), "{refused:?}");
    let half = world.run(&["ordering", "--tls-cert", &cert]).await;
    assert!(half.code == Some(2) && half.err.contains("--tls-key"), "{half:?}");
}
