//! Whether streams can be served.

use anyhow::Result;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Keeps `ready` true while the topic was read to its end and the database answers.
pub async fn report(
    mut hub: watch::Receiver<bool>,
    mut database: watch::Receiver<bool>,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> Result<()> {
    loop {
        let now = *hub.borrow_and_update() && *database.borrow_and_update();
        ready.send_if_modified(|known| std::mem::replace(known, now) != now);
        tokio::select! {
            Ok(()) = hub.changed() => {}
            Ok(()) = database.changed() => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
