//! A run without any fault: the clients, the mail server and the dump against a real system, judged. No violation may be found: one
//! would be an error of the trials themselves (or worse).
//!
//! Needs a Postgres and a Kafka, as `scripts/postgres start` and `scripts/kafka start` print them, and the program:
//! `DATABASE_URL=.. KAFKA_BOOTSTRAP_SERVERS=.. cargo test -p comanda-trials --test calm -- --ignored`.

use std::{
    env,
    fs::{self, File},
    io::BufReader,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use comanda_checker::{
    history::{Line, Run, What},
    judge, read,
};
use comanda_trials::{
    cluster::{Endpoints, Replica, Role},
    dump,
    recorder::Recorder,
    smtp::SmtpServer,
    workload::{Settings, Workload},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
const LASTS: Duration = Duration::from_secs(10);
const STEP_MS: i64 = 500;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database, a Kafka and the program"]
async fn a_calm_run_has_no_violation() {
    let folder = env::temp_dir().join(format!("comanda-calm-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&folder).expect("a folder that can be made");
    let recorder = Recorder::create(&folder.join("history.jsonl")).expect("a new file");
    let mails = SmtpServer::start(recorder.clone(), 1).await.expect("a free port");
    let system = System::start(&folder, &mails).await;
    recorder.record(What::Run(run()));

    let settings = Settings { orders_per_second: 40.0, order_life_ms: 1500, bad_calls: 0.2, ..Settings::default() };
    let shutdown = CancellationToken::new();
    let workload = Workload::start(&system.endpoints, settings, recorder.clone(), 7, &shutdown).expect("addresses");
    sleep(LASTS).await;
    workload.stop_new();
    recorder.record(What::LastHeal);
    system.comes_to_rest().await;
    recorder.record(What::Drained);
    let counts = workload.join().await;
    recorder.flush().await.expect("a disk with room");
    let remains = Recorder::create(&folder.join("dump.jsonl")).expect("a new file");
    let began = Instant::now();
    dump::everything(&system.endpoints, &dump::Settings::default(), &remains).await.expect("all can be read");
    remains.flush().await.expect("a disk with room");
    println!("{counts:#?}\nthe dump took {:?}", began.elapsed());
    system.stop().await;
    mails.stop().await;

    assert!(counts.accepted >= 200, "{counts:?}");
    assert!(counts.watch_events > 0 && counts.resumes > 0 && counts.moves > 0 && counts.bad_calls > 0, "{counts:?}");
    let verdict = judge(lines(&folder.join("history.jsonl")).chain(lines(&folder.join("dump.jsonl"))));
    println!("{:#?}", verdict.figures);
    for violation in &verdict.violations {
        println!("{:?} {:?}: {}", violation.invariant, violation.order_id, violation.evidence);
    }
    assert!(verdict.counts.is_empty(), "{:?}; the history is in {}", verdict.counts, folder.display());
    assert_eq!(verdict.doubts, Vec::<String>::new());
    fs::remove_dir_all(&folder).expect("ours");
}

fn run() -> Run {
    Run {
        seed: 7,
        profile: "calm".into(),
        commit: String::new(),
        least_orders: 200,
        least_faults: 0,
        least_fault_kinds: 0,
        drain_ms: 60_000,
        most_rss_bytes: u64::MAX,
        mails: true,
        step_us: Some(STEP_MS * 1000),
    }
}

fn lines(path: &Path) -> impl Iterator<Item = Line> {
    let file = BufReader::new(File::open(path).expect("written"));
    read::lines(file).map(|line| line.expect("a line of a history"))
}

/// All roles in one process, on a database and topics of their own.
struct System {
    endpoints: Endpoints,
    sql: PgPool,
    child: Child,
}

impl System {
    async fn start(folder: &Path, mails: &SmtpServer) -> Self {
        let (address, admin) = (free_address(), free_address());
        let name = format!("calm_{}", uuid::Uuid::now_v7().simple());
        let (database_url, topic_prefix) = (create_database(&name).await, format!("{name}."));
        let program = |args: &[&str]| program(&database_url, &topic_prefix, args);
        let mut migrate = program(&["migrate"]);
        assert!(migrate.status().await.expect("the program can be started").success());
        let mut command = program(&["all"]);
        command
            .env("COMANDA_LISTEN", address.to_string())
            .env("COMANDA_ADMIN_LISTEN", admin.to_string())
            .env("COMANDA_STEP_MS", STEP_MS.to_string())
            .env("SMTP_URL", format!("smtp://{}", mails.address()))
            .stderr(File::create(folder.join("all.log")).expect("a log that can be written"));
        let replicas =
            Role::ALL.map(|role| Replica { name: format!("{}-0", role.name()), role, address, direct: address, admin });
        let sql = PgPool::connect(&database_url).await.expect("the database runs");
        let kafka_bootstrap_servers = env::var("KAFKA_BOOTSTRAP_SERVERS").expect("KAFKA_BOOTSTRAP_SERVERS is set");
        let child = command.spawn().expect("the program can be started");
        eventually("the system serves", async || {
            let mut asked = program(&["healthcheck", "--addr", &address.to_string()]);
            asked.stdout(Stdio::null()).stderr(Stdio::null()).status().await.is_ok_and(|status| status.success())
        })
        .await;
        let endpoints = Endpoints { replicas: replicas.into(), database_url, kafka_bootstrap_servers, topic_prefix };
        Self { endpoints, sql, child }
    }

    async fn comes_to_rest(&self) {
        let waiting = "SELECT (SELECT count(*) FROM ordering.outbox)
                            + (SELECT count(*) FROM state_machine.outbox)
                            + (SELECT count(*) FROM state_machine.states WHERE due_at IS NOT NULL)
                            + (SELECT count(*) FROM ordering.orders)
                            - (SELECT count(*) FROM state_machine.states)
                            + (SELECT count(*) FROM state_machine.transitions)
                            - (SELECT count(*) FROM notification.mails WHERE state IN (4, 5, 6))";
        eventually("everything has come to rest", async || {
            let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&self.sql).await.expect("a number");
            let lags = dump::lags(&self.endpoints).await.expect("Kafka answers");
            waiting == 0 && lags.iter().all(|lag| lag.records == 0)
        })
        .await;
    }

    async fn stop(mut self) {
        let pid = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").arg(pid).status().await.expect("a kill command").success());
        assert!(self.child.wait().await.expect("a child").success());
    }
}

async fn create_database(name: &str) -> String {
    let server = env::var("DATABASE_URL").expect("DATABASE_URL is set");
    let mut connection = PgConnection::connect(&server).await.expect("Postgres runs");
    let statement = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.expect("a new database");
    let (base, _) = server.rsplit_once('/').expect("a URL with a name");
    format!("{base}/{name}")
}

fn program(database_url: &str, topic_prefix: &str, args: &[&str]) -> Command {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/comanda");
    let path = env::var_os("COMANDA_PROGRAM").map_or(beside, PathBuf::from);
    let mut command = Command::new(path);
    command.args(args).env("DATABASE_URL", database_url).env("COMANDA_TOPIC_PREFIX", topic_prefix);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound")
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}
