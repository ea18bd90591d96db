//! Messages that are larger than they may be, and messages that are larger in memory than on the wire.

use std::time::Duration;

use anyhow::Result;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::Code;

use super::{
    methods::{METHODS, ORDER_REQUEST_BYTES},
    stage::{Bounds, Seen, Stage},
    target::Target,
};
use crate::raw::{
    frames::{DATA, HEADERS, call, claimed, frame, hello},
    wire::Wire,
};

/// Streams of one connection.
const STREAMS: u32 = 200;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Each sends all kinds of amplifying message, one after the other.
const CLIENTS: usize = 16;
/// What decoding the worst of them takes: 130,000 empty orders, while their vector grows. A thread of the server decodes one at a time.
const DECODING_MIB: u64 = 64;

/// Makes them all.
pub async fn attack(stage: &mut Stage, target: &Target) -> Result<()> {
    stage.attack("claims 4 GiB", Bounds::FLOOD, claims(target, u32::MAX)).await?;
    stage.attack("claims too much", Bounds::FLOOD, claims(target, ORDER_REQUEST_BYTES as u32 + 1)).await?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let bounds = Bounds { peak_mib: 64 + threads * DECODING_MIB, left_mib: 32 };
    stage.attack("amplifying messages", bounds, amplified(target)).await
}

/// Each stream claims a message of this length and begins it: all must be refused before it comes.
async fn claims(target: &Target, length: u32) -> Result<Seen> {
    let mut wire = Wire::connect(target.address).await?;
    let mut bytes = hello(&[]);
    for number in 0..STREAMS {
        let stream = 2 * number + 1;
        bytes.extend(call(stream, target.path(), 0));
        bytes.extend(frame(DATA, 0, stream, &[&claimed(length)[..], &[0; 100]].concat()));
    }
    wire.send(&bytes, ANSWER_TIMEOUT).await;
    let answers = wire.read(Duration::from_secs(2)).await;
    let refused = answers.count(HEADERS);
    let seen = Seen::from(format!("{refused} of {STREAMS} refused"));
    Ok(seen.require(refused >= STREAMS as usize, format!("only {refused} of {STREAMS} calls were answered")))
}

/// Each field that may be repeated, empty, as often as a request holds: some hundred bytes of memory for two on the wire.
async fn amplified(target: &Target) -> Result<Seen> {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let target = target.clone();
        clients.spawn(async move { amplifies(&target).await });
    }
    let mut violations: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    violations.sort();
    violations.dedup();
    Ok(Seen { text: format!("answered within {:.1} s", began.elapsed().as_secs_f64()), violations })
}

async fn amplifies(target: &Target) -> Vec<String> {
    let (channel, mut violations) = (target.channel(), Vec::new());
    for field in 1..9_u8 {
        for method in METHODS.iter().filter(|method| target.services.contains(&method.service)) {
            let most = method.most_bytes();
            let bytes = [field << 3 | 2, 0].repeat(most / 2);
            let is_request = (method.is_request)(&bytes);
            let answer = timeout(ANSWER_TIMEOUT, crate::raw::call(channel.clone(), method.path, bytes)).await;
            let code =
                answer.map_or(Code::DeadlineExceeded, |answer| answer.err().map_or(Code::Ok, |status| status.code()));
            let wrong = [Code::Unknown, Code::Internal, Code::Unavailable, Code::DeadlineExceeded];
            if is_request && wrong.contains(&code) {
                violations.push(format!("{}: {code:?} for many empty fields {field}", method.path));
            }
        }
    }
    violations
}
