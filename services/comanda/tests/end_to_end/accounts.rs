//! Each role with accounts of its own: in Postgres always, in Kafka where there is a secured broker (`scripts/kafka start --secure`). None
//! may do more than its work, and the work is done.

mod refusals;

use std::{env, path::PathBuf, process::Command, time::Duration};

use comanda_kit::kafka::{self, Security};
use comanda_proto::topics;
use rdkafka::{
    error::KafkaError,
    producer::{FutureProducer, FutureRecord},
    types::RDKafkaErrorCode,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::harness::{Role, World};

const ROLES: [&str; 5] = ["ordering", "state-machine", "notification", "dispatch", "analytics"];
const DELIVERED: &str = "SELECT count(*) FROM state_machine.states WHERE status = 'delivered'";

/// Postgres accounts, one for each role, each a member of that role alone.
struct Accounts<'a> {
    world: &'a World,
    /// What all their names begin with.
    name: String,
    /// The passwords of Kafka's users, as files.
    kafka_users: Option<PathBuf>,
}

impl<'a> Accounts<'a> {
    async fn new(world: &'a World, kafka_users: Option<PathBuf>) -> Self {
        let accounts = Self { world, name: format!("test_{}", Uuid::new_v4().simple()), kafka_users };
        for role in ROLES {
            let member = accounts.postgres(role);
            accounts.run(format!("CREATE ROLE {member} LOGIN IN ROLE comanda_{}", role.replace('-', "_"))).await;
        }
        accounts
    }

    async fn run(&self, statement: String) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&self.world.sql).await.expect("an account that may do it");
    }

    fn postgres(&self, role: &str) -> String {
        format!("{}_{}", self.name, role.replace('-', "_"))
    }

    /// Starts a role under its accounts.
    fn start(&self, args: &[&str]) -> Role {
        let (role, mut command) = (args[0], self.world.command(args));
        let (_, place) = self.world.environment.postgres.database_url.split_once('@').expect("a URL with a user");
        command.env("DATABASE_URL", format!("postgres://{}@{place}", self.postgres(role)));
        self.use_kafka_as(role, &mut command);
        self.world.start_as(role, command)
    }

    fn use_kafka_as(&self, user: &str, command: &mut Command) {
        if let Some(users) = &self.kafka_users {
            command.env("COMANDA_KAFKA_USER", user).env("COMANDA_KAFKA_PASSWORD_FILE", users.join(user));
        }
    }

    async fn remove(self) {
        for role in ROLES {
            self.run(format!("DROP ROLE {}", self.postgres(role))).await;
        }
    }
}

/// Takes an order through all roles, each under its own accounts.
async fn orders_arrive(world: &World, accounts: Accounts<'_>) {
    let mail_dir = world.mail_dir().display().to_string();
    let mut roles = [
        accounts.start(&["ordering"]),
        accounts.start(&["state-machine", "--step-ms", "200"]),
        accounts.start(&["notification", "--mail-dir", &mail_dir]),
        accounts.start(&["dispatch"]),
        accounts.start(&["analytics"]),
    ];
    for role in &mut roles {
        role.serves().await;
    }
    let addr = roles[0].address().await.to_string();
    let create =
        ["order", "create", "--addr", &addr, "--product", "Pizza", "--price", "12.50", "--email", "ana@example.com"];
    for _ in 0..3 {
        world.succeeds(&create).await;
    }
    world.reaches(DELIVERED, 3).await;
    world.reaches("SELECT count(*) FROM notification.mails WHERE state = 4", 9).await;
    world
        .reaches("SELECT coalesce(sum(orders), 0)::bigint FROM analytics.transitions WHERE span = 1 AND to_status = 'delivered'", 3)
        .await;
    for role in &roles {
        let log = role.log();
        let denied =
            log.lines().find(|line| line.contains("permission denied") || line.contains("uthorization failed"));
        assert_eq!(denied, None, "what a role does is allowed to it");
    }
    world.stop(roles).await;
    accounts.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_its_work_under_a_postgres_account_of_its_own() {
    let world = World::new().await;
    let accounts = Accounts::new(&world, None).await;
    orders_arrive(&world, accounts).await;
}

/// The folder of the passwords of Kafka's users.
fn kafka_users() -> PathBuf {
    PathBuf::from(env::var_os("COMANDA_TEST_KAFKA_USERS").expect("a secured broker"))
}

/// A user of the secured broker.
fn as_user(world: &World, users: &std::path::Path, user: &str) -> kafka::Config {
    let password = std::fs::read_to_string(users.join(user)).expect("a password");
    let security = Security {
        kafka_user: Some(user.into()),
        kafka_password_file: Some(password.trim().parse().expect("anything")),
        ..world.environment.kafka.security.clone()
    };
    kafka::Config { security, ..world.environment.kafka.clone() }
}

/// What becomes of a record that a user writes to a topic.
async fn write(config: &kafka::Config, topic: &str) -> Option<RDKafkaErrorCode> {
    let producer: FutureProducer = config.lossy_producer().create().expect("a producer");
    let topic = config.topic(topic);
    let record = FutureRecord::to(&topic).key("nobody").payload("nothing");
    match producer.send(record, Duration::from_secs(20)).await {
        Ok(_) => None,
        Err((KafkaError::MessageProduction(code), _)) => Some(code),
        Err((other, _)) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a broker of `scripts/kafka start --secure`: scripts/test starts one"]
async fn each_role_does_its_work_as_a_user_of_kafka_that_may_do_nothing_else() {
    let users = kafka_users();
    let mut world = World::without_topics().await;
    world.environment.kafka.topic_prefix = topics::DEFAULT_PREFIX.into();
    let accounts = Accounts::new(&world, Some(users.clone())).await;

    let ordering = as_user(&world, &users, "ordering");
    let settings = kafka::TopicConfig { partitions: 1, replication_factor: 1 };
    kafka::create_topic(&ordering, &ordering.topic("mine"), &settings).await.expect_err("only migrate makes topics");
    let mut migrate = world.command(&["migrate", "--only", "topics", "--partitions", "3"]);
    accounts.use_kafka_as("migrate", &mut migrate);
    let migrated = crate::harness::run(migrate).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");

    orders_arrive(&world, accounts).await;
    let refused = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
    for (user, topic) in [
        ("ordering", topics::ORDER_TRANSITIONS),
        ("ordering", topics::ASSIGNMENTS),
        ("state-machine", topics::ORDERS),
        ("notification", topics::ORDER_TRANSITIONS),
        ("dispatch", topics::ORDER_TRANSITIONS),
        ("analytics", topics::ORDER_TRANSITIONS),
        ("migrate", topics::ORDERS),
    ] {
        assert_eq!(write(&as_user(&world, &users, user), topic).await, refused, "{user} writes {topic}");
    }
    assert_eq!(write(&ordering, topics::ORDERS).await, None);
}
