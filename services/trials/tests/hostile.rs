//! Hostile clients against a real system: it must bear them.
//!
//! Needs a Postgres and a Kafka, as `scripts/postgres start` and `scripts/kafka start` print them, and the program:
//! `DATABASE_URL=.. KAFKA_BOOTSTRAP_SERVERS=.. cargo test -p comanda-trials --test hostile -- --ignored --nocapture`.
//! `HOSTILE_CALLS` and `HOSTILE_SEED` tell how many bad calls and which.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    time::Duration,
};

use comanda_trials::hostile;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database, a Kafka and the program"]
async fn the_system_bears_hostile_clients() {
    let folder = env::temp_dir().join(format!("comanda-hostile-{}", uuid::Uuid::now_v7()));
    fs::create_dir(&folder).expect("a folder that can be made");
    let log = folder.join("all.log");
    let (address, mut child) = start(&log).await;
    let pid = child.id().expect("it runs");
    let report =
        hostile::run(address, pid, setting("HOSTILE_SEED", 7), setting("HOSTILE_CALLS", hostile::BAD_CALLS)).await;
    let report = report.unwrap_or_else(|error| panic!("{error:#}; the log is in {}", log.display()));
    println!("{report}");
    assert!(Command::new("kill").arg(pid.to_string()).status().await.expect("a kill command").success());
    assert!(child.wait().await.expect("a child").success());
    assert!(report.log_was_read);
    assert_eq!(report.violations, Vec::<String>::new(), "the log is in {}", log.display());
    fs::remove_dir_all(&folder).expect("ours");
}

fn setting<T: FromStr>(variable: &str, default: T) -> T {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// All roles in one process, on a database and topics of their own.
async fn start(log: &Path) -> (SocketAddr, Child) {
    let (address, admin) = (free_address(), free_address());
    let name = format!("hostile_{}", uuid::Uuid::now_v7().simple());
    let database_url = create_database(&name).await;
    let program = |args: &[&str]| program(&database_url, &format!("{name}."), args);
    assert!(program(&["migrate"]).status().await.expect("the program can be started").success());
    let mut command = program(&["all"]);
    command
        .env("COMANDA_LISTEN", address.to_string())
        .env("COMANDA_ADMIN_LISTEN", admin.to_string())
        .stderr(File::create(log).expect("a log that can be written"));
    let child = command.spawn().expect("the program can be started");
    let deadline = Instant::now() + PATIENCE;
    let addr = address.to_string();
    loop {
        let mut asked = program(&["healthcheck", "--addr", &addr]);
        let asked = asked.stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if asked.is_ok_and(|status| status.success()) {
            return (address, child);
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for the system to serve");
        sleep(Duration::from_millis(100)).await;
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
    let mut command = Command::new(AsRef::<OsStr>::as_ref(&path));
    command.args(args).env("DATABASE_URL", database_url).env("COMANDA_TOPIC_PREFIX", topic_prefix);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound")
}
