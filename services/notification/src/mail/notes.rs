//! Results of a batch of mails, written while further mails are sent.

use std::{sync::Arc, time::Duration};

use comanda_proto::v1::MailState;
use futures::future::join_all;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{context::SenderContext, row::Change};

/// How long a result waits for others before it is written.
const WRITTEN_WITHIN: Duration = Duration::from_millis(20);

/// The results of one batch: all written together at the end of the batch, and before that whenever [`WRITTEN_WITHIN`] has passed,
/// which a slow server may take for a single mail.
pub struct Notes {
    changes: mpsc::Sender<Change>,
    writer: JoinSet<()>,
}

impl Notes {
    /// For a batch of `most` mails.
    pub fn new(context: Arc<SenderContext>, most: usize) -> Self {
        let (changes, mut noted) = mpsc::channel::<Change>(most);
        let mut writer = JoinSet::new();
        writer.spawn(async move {
            while let Some(first) = noted.recv().await {
                let mut together = vec![first];
                let collecting = async { while noted.recv_many(&mut together, most).await > 0 {} };
                // A timeout means that the batch goes on.
                let _ = timeout(WRITTEN_WITHIN, collecting).await;
                let (count, is_due) = (together.len(), together.iter().any(|change| change.state == MailState::Due));
                join_all(together.into_iter().map(|change| context.write(change))).await;
                context.due.finished(count);
                if is_due {
                    context.due.entered();
                }
            }
        });
        Self { changes, writer }
    }

    /// Adds a result.
    pub async fn add(&self, change: Change) {
        self.changes.send(change).await.expect("the writer lasts as long as these");
    }

    /// The batch has ended; the caller waits for the writer.
    pub fn end(self) -> JoinSet<()> {
        self.writer
    }
}
