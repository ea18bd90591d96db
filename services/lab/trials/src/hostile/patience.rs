//! Connections that make the server wait, each in its own way, all at the same time: for as long as the server bears the last of them.

use anyhow::Result;

use super::{
    silence,
    stage::{Bounds, Seen, Stage},
    streams,
    target::Target,
    unread,
};

/// A thousand answers of 1 MiB are asked for and none is read. Some hundred are being made at the same time.
const UNREAD: Bounds = Bounds { peak_mib: 320, left_mib: 32 };

/// Makes them all.
pub async fn attack(stage: &mut Stage, target: &Target) -> Result<()> {
    unread::prepare(target).await?;
    stage.attack("unread answers", UNREAD, unread::answers(target)).await?;
    // What some connections can have the server hold: each an answer of a page in each of its streams.
    let bounds = Bounds { peak_mib: 512, left_mib: 32 };
    stage
        .attack("waiting connections", bounds, async {
            let (begun, silent, unfinished, unread) = tokio::try_join!(
                silence::without_preface(target),
                silence::with_preface(target),
                streams::unfinished(target),
                unread::readers(target),
            )?;
            Ok([begun, silent, unfinished, unread].into_iter().fold(Seen::default(), Seen::and))
        })
        .await
}
