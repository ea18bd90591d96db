//! Postgres refuses to run as root, so a root `comanda dev` goes on as an ordinary account.

use std::{
    convert::Infallible,
    env, fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use comanda_kit::settings;

/// The folder of the mails, inside the data folder.
pub const MAILS: &str = "mails";
const ROOT: u32 = 0;
/// Accounts to become, the first that exists.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// Where data is kept if nobody says otherwise.
pub fn default_data_dir() -> Result<PathBuf> {
    if uid()? == ROOT {
        return Ok("/var/lib/comanda-dev".into());
    }
    let share = settings::variable("XDG_DATA_HOME").map(PathBuf::from);
    let home = settings::variable("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let base = share.or(home).context("HOME is not set; choose a --data-dir")?;
    Ok(base.join("comanda-dev"))
}

/// As root: gives `data_dir` to an ordinary account and starts this program again as that account, in place of this process.
/// Otherwise does nothing.
pub fn leave_root(data_dir: &Path) -> Result<()> {
    if uid()? != ROOT {
        return Ok(());
    }
    let (name, uid, gid) =
        account().context("running as root, and there is no account to become; start it as another user")?;
    own(data_dir, uid, gid)?;
    eprintln!("running as root: going on as {name}, since Postgres will not run as root");
    Err(start_anew(data_dir, uid, gid)?).context("unreachable")
}

fn start_anew(data_dir: &Path, uid: u32, gid: u32) -> Result<anyhow::Error> {
    // The path of the binary may lead through folders that the account may not enter; this one always works.
    let mut again = Command::new("/proc/self/exe");
    again.args(env::args_os().skip(1)).uid(uid).gid(gid).current_dir(data_dir);
    again.env("HOME", data_dir).env("COMANDA_DEV_DIR", data_dir);
    let error: Result<Infallible, _> = Err(again.exec());
    error.map(|never| match never {}).context("cannot go on as another account")
}

fn uid() -> Result<u32> {
    Ok(fs::metadata("/proc/self").context("there is no /proc")?.uid())
}

fn account() -> Option<(&'static str, u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &'static str| {
        let fields: Vec<&str> =
            accounts.lines().map(|line| line.split(':').collect()).find(|fields: &Vec<_>| fields[0] == name)?;
        Some((name, fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    ACCOUNTS.into_iter().find_map(find)
}

/// Gives the folder away, and that of the mails, which root may have made: with --database-url it stays root. All else in it was made by the
/// account.
fn own(data_dir: &Path, uid: u32, gid: u32) -> Result<()> {
    let mails = data_dir.join(MAILS);
    for folder in [data_dir, &mails].into_iter().filter(|folder| folder.exists()) {
        chown(folder, Some(uid), Some(gid))
            .with_context(|| format!("cannot give {} to another account", folder.display()))?;
    }
    Ok(())
}
