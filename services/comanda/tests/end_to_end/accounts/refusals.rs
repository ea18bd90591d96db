//! What a person is told whom a secured broker refuses: which broker, what failed, and where to look.

use std::fs;

use comanda_kit::testing::certificates::Authority;
use tokio::net::TcpListener;

use super::kafka_users;
use crate::harness::{Ended, Forwarder, World, run};

const MIGRATE: [&str; 5] = ["migrate", "--only", "topics", "--partitions", "1"];

/// Runs `comanda migrate` for topics, with further variables.
async fn migrate(world: &World, variables: &[(&str, &str)]) -> Ended {
    let mut command = world.command(&MIGRATE);
    command.env("RUST_LOG", "off").envs(variables.iter().copied());
    run(command).await
}

fn assert_says(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} is not in {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker of `scripts/kafka start --secure`: scripts/test starts one"]
async fn a_wrong_password_is_told_as_a_refused_login() {
    let world = World::new().await;
    let file = world.path("password");
    fs::write(&file, "wrong-and-secret").expect("a file that can be written");
    let broker = world.environment.kafka.kafka_bootstrap_servers.clone();
    let file = file.display().to_string();
    let ended = migrate(&world, &[("COMANDA_KAFKA_PASSWORD_FILE", &file)]).await;
    let login = format!("broker {broker} refuses the login of user \"tests\"");
    assert_says(&ended, &["Kafka does not answer", &login, "--kafka-password-file"]);
    assert!(!ended.err.contains("wrong-and-secret"), "{ended:?}");

    let mut command = world.command(&["ordering"]);
    command.env("COMANDA_KAFKA_PASSWORD_FILE", &file);
    let mut ordering = world.start_as("ordering", command);
    ordering.serves().await;
    ordering.says(&login).await;
    assert!(!ordering.log().contains("wrong-and-secret"), "{}", ordering.log());
    world.stop([ordering]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker of `scripts/kafka start --secure`: scripts/test starts one"]
async fn a_certificate_that_cannot_be_trusted_is_told_apart_from_one_for_another_host() {
    let world = World::new().await;
    let other = world.path("other-ca.crt");
    Authority::new().and_then(|ca| ca.write(&other)).expect("a CA");
    let other = other.display().to_string();
    let ended = migrate(&world, &[("COMANDA_KAFKA_CA", &other)]).await;
    assert_says(&ended, &[&format!("was not signed by a CA of {other}"), "--kafka-ca"]);

    let broker = &world.environment.kafka.kafka_bootstrap_servers;
    let (_, port) = broker.rsplit_once(':').expect("a port");
    let elsewhere = format!("127.0.0.2:{port}");
    let _forwarder = Forwarder::start(elsewhere.parse().expect("an address"), broker).await;
    let ended = migrate(&world, &[("KAFKA_BOOTSTRAP_SERVERS", &elsewhere)]).await;
    assert_says(
        &ended,
        &[&format!("the certificate of broker {elsewhere} is not for this host"), "advertised.listeners"],
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker of `scripts/kafka start --secure`: scripts/test starts one"]
async fn encryption_that_only_one_side_speaks_is_told() {
    let world = World::new().await;
    let mut plain = world.command(&MIGRATE);
    for name in ["CA", "USER", "PASSWORD_FILE"] {
        plain.env_remove(format!("COMANDA_KAFKA_{name}"));
    }
    plain.env("RUST_LOG", "off");
    assert_says(&run(plain).await, &["closes connections that are not encrypted", "--kafka-ca"]);

    let hangs_up = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = hangs_up.local_addr().expect("bound").to_string();
    let hanging_up = tokio::spawn(async move { while hangs_up.accept().await.is_ok() {} });
    let ended = migrate(&world, &[("KAFKA_BOOTSTRAP_SERVERS", &address)]).await;
    assert_says(&ended, &[&format!("broker {address} speaks no TLS"), "leave out --kafka-ca"]);
    hanging_up.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker of `scripts/kafka start --secure`: scripts/test starts one"]
async fn a_topic_that_a_user_may_not_see_is_told_as_a_missing_right() {
    let world = World::new().await;
    let password = kafka_users().join("ordering").display().to_string();
    let account = [("COMANDA_KAFKA_USER", "ordering"), ("COMANDA_KAFKA_PASSWORD_FILE", &password)];
    let topic = world.environment.kafka.topic("orders");
    assert_says(&migrate(&world, &account).await, &["does not let user \"ordering\" make topic", "docs/tls.md"]);

    let mut status = world.command(&["status"]);
    status.env("RUST_LOG", "off").envs(account);
    let reading = format!("Kafka does not let user \"ordering\" read topic {topic}: grant it");
    let ended = run(status).await;
    assert!(ended.out.contains(&reading) && ended.out.contains("or there is no such topic"), "{ended:?}");
    assert!(!ended.out.contains("does not answer"), "{ended:?}");

    let mut command = world.command(&["state-machine"]);
    command.envs(account);
    let mut role = world.start_as("state-machine", command);
    role.serves().await;
    role.says(&reading).await;
    role.says("Kafka does not let user \"ordering\" write topic").await;
    world.stop([role]).await;
}
