//! `comanda dev`: the in-process broker forgets everything, the database nothing.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use comanda_kit::testing::eventually;
use serde_json::Value;
use uuid::Uuid;

use crate::harness::{Role, World, email, orders, run};

const TRANSITIONS: &str = "SELECT count(*) FROM state_machine.transitions";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dev_mode_goes_on_where_it_was() {
    let world = World::unmigrated().await;
    let (data, mails) = (world.file("data", ""), world.mail_dir().display().to_string());
    fs::remove_file(&data).expect("the file whose name the folder gets");
    let mut dev = world.start(&["dev", "--step-ms", "500", "--data-dir", &data, "--mail-dir", &mails]);
    dev.serves().await;
    let order_ids = world.create(&dev.orders().await, &orders(20)).await;
    world.reaches(TRANSITIONS, 30).await;
    dev.kill();
    assert!(world.count(TRANSITIONS).await < 80, "killed in the middle");
    // As if the broker had taken the first order with it before anybody had read of it.
    for statement in [
        "DELETE FROM ordering.outbox WHERE $1::uuid = ANY (order_ids)",
        "DELETE FROM state_machine.outbox WHERE $1::uuid = ANY (order_ids)",
        "DELETE FROM state_machine.states WHERE order_id = $1::uuid",
        "DELETE FROM state_machine.transitions WHERE order_id = $1::uuid",
        "DELETE FROM notification.mails WHERE order_id = $1::uuid",
    ] {
        sqlx::query(statement).bind(&order_ids[0]).execute(&world.sql).await.expect("a table");
    }
    dev.start_again();
    dev.says("(20 orders now)").await;
    world.reaches("SELECT count(*) FROM state_machine.states WHERE status = 'delivered'", 20).await;
    world.stores_exactly(&order_ids).await;
    world.history_is_dense().await;
    world.mails_are_files(&order_ids).await;
    dev.stops().await;
    // As if the last transition of one order had gone before its mail was noted.
    let last = "DELETE FROM notification.mails WHERE version = 4 AND order_id = $1::uuid";
    sqlx::query(last).bind(&order_ids[0]).execute(&world.sql).await.expect("a mail");
    dev.start_again();
    dev.says("(1 orders now)").await;
    world.mails_are_files(&order_ids).await;
    dev.stops().await;
    dev.start_again();
    dev.says("(0 orders now)").await;
    dev.serves().await;
    world.stop([dev]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_private_database_keeps_orders_and_stops_with_its_master() {
    let world = World::unmigrated().await;
    let data = DataDir::new();
    let mut command = world.command(&["dev", "--step-ms", "100"]);
    command.env_remove("DATABASE_URL").env("COMANDA_DEV_DIR", &data.0);
    // As a first start leaves it that was killed while Postgres made its folder.
    data.leave_unfinished();
    let mut dev = world.start_as("dev", command);
    dev.serves().await;
    let create = ["order", "create", "--product", "Taco", "--price", "2.50", "--email", &email("example.com")];
    let number = client(&world, &mut dev, &create).await[0]["order"]["number"].as_str().expect("a number").to_owned();
    let first = client(&world, &mut dev, &["order", "watch", &number]).await;
    assert_eq!(first.iter().filter(|line| !line["transition"].is_null()).count(), 4);
    eventually("its mails are files", async || (data.mails() == 4).then_some(())).await;
    let postmaster = data.postmaster().expect("a Postgres that runs");
    assert!(is_alive(postmaster));
    dev.stops().await;
    eventually("Postgres stops with it", async || (!is_alive(postmaster)).then_some(())).await;

    dev.start_again();
    dev.serves().await;
    assert_eq!(client(&world, &mut dev, &["order", "get", &number]).await[0]["status"], "delivered");
    let orphan = data.postmaster().expect("a Postgres that runs");
    dev.kill();
    assert!(is_alive(orphan), "nobody told it to stop");
    dev.start_again();
    dev.serves().await;
    assert_eq!(client(&world, &mut dev, &["order", "get", &number]).await[0]["status"], "delivered");
    let last = data.postmaster().expect("a Postgres that runs");
    dev.stops().await;
    eventually("neither is left behind", async || (!is_alive(orphan) && !is_alive(last)).then_some(())).await;
    assert_eq!(data.mails(), 4);
    world.stop([]).await;
}

/// Runs a verb of the client, and returns what it printed.
async fn client(world: &World, dev: &mut Role, args: &[&str]) -> Vec<Value> {
    // Before it has started again it listens nowhere.
    let address = dev.address().await.to_string();
    let ended = eventually("the verb succeeds", async || {
        let ended = run(world.command(&[args, &["--json", "--addr", &address]].concat())).await;
        (ended.code == Some(0)).then_some(ended)
    })
    .await;
    ended.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// A folder in which another account may run Postgres; it is gone with its server when dropped.
struct DataDir(PathBuf);

impl DataDir {
    fn new() -> Self {
        Self(Path::new("/var/tmp").join(format!("comanda-test-dev-{}", Uuid::new_v4().simple())))
    }

    fn leave_unfinished(&self) {
        fs::create_dir_all(self.0.join("postgres")).expect("a folder that can be made");
        fs::write(self.0.join("postgres/postgresql.conf"), "").expect("a file that can be written");
        fs::write(self.0.join("postgres-unfinished"), "").expect("a file that can be written");
        for name in ["", "postgres", "postgres-unfinished"] {
            // The program becomes another account, to which all of this must be open.
            fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(0o777)).expect("a folder of ours");
        }
    }

    /// How many files there are where mails are written.
    fn mails(&self) -> usize {
        fs::read_dir(self.0.join("mails")).expect("a folder").count()
    }

    /// The process of the running server.
    fn postmaster(&self) -> Option<u32> {
        fs::read_to_string(self.0.join("postgres/postmaster.pid")).ok()?.lines().next()?.parse().ok()
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if let Some(postmaster) = self.postmaster() {
            // Fails where it has ended by itself.
            let _ = Command::new("sh").args(["-c", "kill -s QUIT \"$0\"", &postmaster.to_string()]).status();
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn is_alive(process: u32) -> bool {
    fs::exists(format!("/proc/{process}")).expect("a /proc")
}
