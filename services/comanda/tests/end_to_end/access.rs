//! The way of docs/access.md: from nothing to a key that is revoked, with the program as users have it.

use std::time::Duration;

use comanda_kit::testing::eventually;

use crate::harness::{Ended, Role, World};

/// A server that requires credentials, and files for tokens.
struct Fixture {
    world: World,
    all: Role,
    address: String,
}

impl Fixture {
    async fn start() -> Self {
        let world = World::new().await;
        let mut all = world.start(&["all", "--access", "required", "--no-http", "--no-mails"]);
        all.serves().await;
        let address = all.address().await.to_string();
        Self { world, all, address }
    }

    /// Runs an operator's command and keeps the key that it prints.
    async fn key(&self, name: &str, args: &[&str]) -> String {
        let printed = self.world.succeeds(args).await;
        assert!(printed.starts_with("cmd_") && printed.lines().count() == 1, "{printed}");
        self.world.file(name, &printed)
    }

    async fn with(&self, token_file: &str, args: &[&str]) -> Ended {
        self.world.run(&[args, &["--addr", &self.address, "--token-file", token_file]].concat()).await
    }

    async fn is_refused_soon(&self, token_file: &str) {
        let began = std::time::Instant::now();
        while self.with(token_file, &["order", "list"]).await.code == Some(0) {
            assert!(began.elapsed() < Duration::from_secs(60), "it is still let in");
        }
        let refused = self.with(token_file, &["order", "list"]).await;
        assert!(refused.err.contains("UNAUTHENTICATED"), "{refused:?}");
    }
}

const CREATE: [&str; 6] = ["order", "create", "--product", "Pizza", "--price", "12.50"];

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_rolled_and_revoked() {
    let fixture = Fixture::start().await;
    let Fixture { world, address, .. } = &fixture;
    let owner = fixture.key("owner.key", &["access", "init", "--tenant", "acme"]).await;
    let again = world.run(&["access", "init", "--tenant", "acme"]).await;
    assert!(again.code == Some(1) && again.err.contains("has a key of an owner already"), "{again:?}");
    let create = ["key", "create", "--tenant", "acme", "--role", "staff", "--name", "pos-1", "--expires", "90d"];
    let staff = fixture.key("pos-1.key", &create).await;
    let taken = world.run(&create).await;
    assert!(taken.code == Some(1) && taken.err.contains("revoke or roll"), "{taken:?}");

    let without = world.run(&["order", "list", "--addr", address]).await;
    assert!(without.code == Some(1) && without.err.contains("UNAUTHENTICATED"), "{without:?}");
    for token in [&owner, &staff] {
        assert_eq!(fixture.with(token, &CREATE).await.code, Some(0));
    }
    let erase = fixture.with(&staff, &["order", "erase-customer", "guest", "--yes"]).await;
    assert!(erase.err.contains("PERMISSION_DENIED"), "{erase:?}");

    let bravo = fixture.key("bravo.key", &["access", "init", "--tenant", "bravo"]).await;
    assert_eq!(fixture.with(&bravo, &["order", "get", "1"]).await.code, Some(4));
    assert_eq!(fixture.with(&bravo, &["order", "list", "--json"]).await.out, "");

    let rolled = fixture.key("rolled.key", &["key", "roll", "--tenant", "acme", "pos-1", "--overlap", "1h"]).await;
    assert_eq!(fixture.with(&staff, &["order", "list"]).await.code, Some(0), "the old one is good for an hour");
    let is_known = async || (fixture.with(&rolled, &["order", "list"]).await.code == Some(0)).then_some(());
    eventually("the new secret is good", is_known).await;
    let list = world.succeeds(&["key", "list", "--tenant", "acme"]).await;
    assert!(list.contains("staff  pos-1  good, rolled") && list.contains("owner  owner  good"), "{list}");
    world.succeeds(&["key", "revoke", "--tenant", "acme", "pos-1"]).await;
    fixture.is_refused_soon(&rolled).await;
    fixture.is_refused_soon(&staff).await;
    let audit = world.succeeds(&["audit", "list", "--tenant", "acme"]).await;
    for action in ["key-create", "key-roll", "key-revoke"] {
        assert!(audit.contains(action), "{audit}");
    }
    let Fixture { world, all, .. } = fixture;
    world.stop([all]).await;
    for key in [owner, staff, rolled] {
        let secret = std::fs::read_to_string(key).expect("written").trim().rsplit('_').next().map(str::to_owned);
        let secret = secret.expect("a secret");
        assert!(world.logs().iter().all(|(_, log)| !log.contains(&secret)), "a log has a secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_can_reach_does_not_start_without_settings() {
    let world = World::without_topics().await;
    let missing = "--tls-cert, --tls-key, --access required";
    let commands: [&[&str]; 3] = [
        &["ordering", "--listen", "0.0.0.0:0"],
        &["all", "--no-mails", "--http-listen", "0.0.0.0:0"],
        &["gateway", "--http-listen", "[::]:0"],
    ];
    for command in commands {
        let refused = world.run(command).await;
        assert!(refused.code == Some(1) && refused.err.contains(missing), "{command:?}: {refused:?}");
    }
    let ordering = world.start(&["ordering", "--listen", "0.0.0.0:0", "--insecure"]);
    ordering.says("INSECURE").await;
    world.stop([ordering]).await;
}
