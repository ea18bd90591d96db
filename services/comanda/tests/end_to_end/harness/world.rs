//! A database, topics, a folder and the processes of one test.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use comanda_kit::testing::{Environment, eventually};
use comanda_proto::v1::{
    BatchCreateOrdersRequest, CreateOrderRequest, batch_create_orders_response::result::Outcome,
    order_service_client::OrderServiceClient,
};
use sqlx::{AssertSqlSafe, PgPool};
use tonic::transport::Channel;
use uuid::Uuid;

use super::{CANARIES, DATABASE_PASSWORD, Ended, Role, SMTP_PASSWORD, run};

/// Everything goes to the logs that could give something away; what is left out only tells how HTTP/2 and statements work.
const RUST_LOG: &str = "debug,h2=info,hyper_util=info,tower=info";
/// What others may have set, and no process of a test may see.
const OURS: [&str; 6] = ["COMANDA_", "SMTP_", "DATABASE_URL", "KAFKA_", "RUST_LOG", "OTEL_"];

/// One test's own.
#[derive(Debug)]
pub struct World {
    /// Its database and its topics.
    pub environment: Environment,
    /// The database, for looking and for meddling.
    pub sql: PgPool,
    folder: PathBuf,
}

impl World {
    /// With database and topics as `comanda migrate` makes them.
    pub async fn new() -> Self {
        let world = Self::without_topics().await;
        world.succeeds(&["migrate", "--partitions", "3"]).await;
        world
    }

    /// With a database as `comanda migrate` makes it.
    pub async fn without_topics() -> Self {
        let world = Self::unmigrated().await;
        world.succeeds(&["migrate", "--only", "database"]).await;
        world
    }

    /// With an empty database.
    pub async fn unmigrated() -> Self {
        let mut environment = Environment::without_topics().await.expect("Postgres and Kafka run");
        let sql = environment.sql().await.expect("Postgres runs");
        for statement in [
            "DROP SCHEMA ordering, state_machine, notification, dispatch, analytics, access CASCADE",
            "DROP TABLE public._sqlx_migrations",
        ] {
            sqlx::query(statement).execute(&sql).await.expect("a migrated database");
        }
        let url = &mut environment.postgres.database_url;
        *url = with_password(url);
        let folder = env::temp_dir().join(format!("comanda-test-{}", Uuid::new_v4().simple()));
        fs::create_dir(&folder).expect("a folder that can be made");
        Self { environment, sql, folder }
    }

    /// The program, in this world.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_comanda"));
        for (name, _) in env::vars_os() {
            if OURS.iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
                command.env_remove(name);
            }
        }
        let Environment { postgres, kafka } = &self.environment;
        command
            .args(args)
            .env("DATABASE_URL", &postgres.database_url)
            .env("KAFKA_BOOTSTRAP_SERVERS", &kafka.kafka_bootstrap_servers)
            .env("COMANDA_TOPIC_PREFIX", &kafka.topic_prefix)
            .env("SMTP_PASSWORD", SMTP_PASSWORD)
            .env("COMANDA_LISTEN", "127.0.0.1:0")
            .env("COMANDA_HTTP_LISTEN", "127.0.0.1:0")
            .env("RUST_LOG", RUST_LOG);
        for name in ["KAFKA_CA", "KAFKA_USER", "KAFKA_PASSWORD_FILE"] {
            // Set where the broker of the tests is a secured one.
            if let Some(value) = env::var_os(format!("COMANDA_TEST_{name}")) {
                command.env(format!("COMANDA_{name}"), value);
            }
        }
        command
    }

    /// Runs a command to its end. Its log is quiet: standard error holds what people see.
    pub async fn run(&self, args: &[&str]) -> Ended {
        let mut command = self.command(args);
        command.env("RUST_LOG", "warn");
        run(command).await
    }

    /// Runs a command that must succeed, and returns what it wrote.
    pub async fn succeeds(&self, args: &[&str]) -> String {
        let ended = self.run(args).await;
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.out
    }

    /// Starts a role.
    pub fn start(&self, args: &[&str]) -> Role {
        self.start_as(args[0], self.command(args))
    }

    /// Starts a process under a name.
    pub fn start_as(&self, name: &str, command: Command) -> Role {
        let log = self.folder.join(format!("{name}-{}.log", Uuid::new_v4().simple()));
        Role::start(name, command, log)
    }

    /// Starts each role, with mails into [`World::mail_dir`].
    pub async fn start_roles(&self, step_ms: &str) -> [Role; 3] {
        let mail_dir = self.mail_dir().display().to_string();
        let mut roles = [
            self.start(&["ordering"]),
            self.start(&["state-machine", "--step-ms", step_ms]),
            self.start(&["notification", "--mail-dir", &mail_dir]),
        ];
        for role in &mut roles {
            role.serves().await;
        }
        roles
    }

    /// Where mails go that are files.
    pub fn mail_dir(&self) -> PathBuf {
        self.folder.join("mails")
    }

    /// Where a file of this test is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A file of this test.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.join(name);
        fs::write(&path, content).expect("a file that can be written");
        path.display().to_string()
    }

    /// Creates orders, repeating what was not answered under the same request ids; returns the ids in the order of the requests.
    pub async fn create(&self, client: &OrderServiceClient<Channel>, requests: &[CreateOrderRequest]) -> Vec<String> {
        self.create_in_batches(client, requests, 100).await
    }

    /// The same, with a call for each.
    pub async fn create_one_by_one(
        &self,
        client: &OrderServiceClient<Channel>,
        requests: &[CreateOrderRequest],
    ) -> Vec<String> {
        self.create_in_batches(client, requests, 1).await
    }

    async fn create_in_batches(
        &self,
        client: &OrderServiceClient<Channel>,
        requests: &[CreateOrderRequest],
        size: usize,
    ) -> Vec<String> {
        let mut order_ids = Vec::new();
        for requests in requests.chunks(size) {
            let answered = eventually("every order is answered", || {
                let (mut client, requests) = (client.clone(), requests.to_vec());
                async move {
                    let answer = client.batch_create_orders(BatchCreateOrdersRequest { requests }).await.ok()?;
                    let outcomes = answer.into_inner().results.into_iter();
                    outcomes.map(|result| created(result.outcome)).collect::<Option<Vec<_>>>()
                }
            });
            order_ids.extend(answered.await);
        }
        order_ids
    }

    /// One number of the database.
    pub async fn count(&self, statement: &'static str) -> i64 {
        sqlx::query_scalar(statement).fetch_one(&self.sql).await.expect("a statement that counts")
    }

    /// Waits until the database counts at least so many.
    pub async fn reaches(&self, statement: &'static str, at_least: i64) {
        let count = async || (self.count(statement).await >= at_least).then_some(());
        eventually(&format!("at least {at_least} for {statement}"), count).await;
    }

    /// Which of these replicas leads: the epoch of the lease is one that it said it had taken.
    pub async fn leader(&self, schema: &str, replicas: &[Role]) -> usize {
        let statement = format!("SELECT epoch FROM {schema}.lease WHERE expires_at > now()");
        eventually(&format!("one replica leads {schema}"), async || {
            let epoch: Option<i64> =
                sqlx::query_scalar(AssertSqlSafe(statement.clone())).fetch_optional(&self.sql).await.expect("a lease");
            let said = format!("this replica leads now epoch={}\n", epoch?);
            replicas.iter().position(|replica| replica.log().contains(&said))
        })
        .await
    }

    /// What every process has written.
    pub fn logs(&self) -> Vec<(PathBuf, String)> {
        let logs = fs::read_dir(&self.folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.map(|path| (path.clone(), fs::read_to_string(path).expect("a log in UTF-8"))).collect()
    }

    /// Stops the processes, which must go well, and looks for what no log may hold and no process may do.
    pub async fn stop(&self, roles: impl IntoIterator<Item = Role>) {
        let mut roles: Vec<_> = roles.into_iter().collect();
        roles.iter().for_each(|role| role.signal("TERM"));
        for role in &mut roles {
            role.ends_well().await;
        }
        self.is_discreet();
    }

    /// Fails where a log gives something away, or tells of a panic.
    pub fn is_discreet(&self) {
        for (path, log) in self.logs() {
            for word in CANARIES.into_iter().chain(["panicked"]) {
                let line = log.lines().find(|line| line.contains(word));
                assert_eq!(line, None, "{} must not hold {word:?}", path.display());
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs of this test are in {}", self.folder.display());
        } else {
            remove(&self.folder);
        }
    }
}

/// Removes a folder, if it is there.
pub fn remove(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
}

fn created(outcome: Option<Outcome>) -> Option<String> {
    match outcome? {
        Outcome::Created(created) => Some(created.order?.order_id),
        Outcome::Error(_) => None,
    }
}

/// Where Postgres trusts everybody on loopback, the password is only there to be found in a log.
fn with_password(url: &str) -> String {
    let (user, rest) = url.split_once('@').expect("a URL with a user");
    match user.matches(':').count() {
        1 => format!("{user}:{DATABASE_PASSWORD}@{rest}"),
        _ => url.to_owned(),
    }
}

/// The same URL with another server.
pub fn at(url: &str, address: SocketAddr) -> String {
    let (user, rest) = url.split_once('@').expect("a URL with a user");
    let (_, name) = rest.split_once('/').expect("a URL with a name");
    format!("{user}@{address}/{name}")
}

/// Where the server of a URL listens.
pub fn server(url: &str) -> String {
    let (_, rest) = url.split_once('@').expect("a URL with a user");
    rest.split_once('/').expect("a URL with a name").0.to_owned()
}
