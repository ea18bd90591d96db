//! Calls with requests that are wrong in every way that bytes can be.

use std::{collections::BTreeMap, fmt, time::Duration};

use anyhow::Result;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt;

use super::{
    methods::{METHODS, Method},
    target::Target,
};

/// How many clients call at the same time, each on a connection of its own.
const CLIENTS: u64 = 16;
/// A call that is refused is refused at once.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// More complaints than these are only counted.
const MOST_COMPLAINTS: usize = 20;

/// What became of the calls.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many answers of each kind.
    pub codes: BTreeMap<String, u64>,
    /// What should not have been.
    pub complaints: Vec<String>,
}

/// Makes so many bad calls.
pub async fn run(target: &Target, count: u64, seed: u64) -> Result<Tally> {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (target, rng) = (target.clone(), StdRng::seed_from_u64(seed ^ client.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        clients.spawn(async move { one(&target, count.div_ceil(CLIENTS), rng).await });
    }
    let mut whole = Tally::default();
    while let Some(tally) = clients.join_next().await {
        whole.add(tally?);
    }
    Ok(whole)
}

async fn one(target: &Target, count: u64, mut rng: StdRng) -> Tally {
    let (channel, methods, mut tally) = (target.channel(), target.methods(), Tally::default());
    for _ in 0..count {
        let method = *methods.choose(&mut rng).expect("it serves something");
        let bytes = bytes(method, &mut rng);
        tally.note(method, &bytes, call(channel.clone(), method, bytes.clone()).await);
    }
    tally
}

async fn call(channel: Channel, method: &Method, bytes: Vec<u8>) -> Result<(), Status> {
    let answer = timeout(CALL_TIMEOUT, crate::raw::call(channel, method.path, bytes)).await;
    answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))).map(drop)
}

impl Tally {
    fn note(&mut self, method: &Method, bytes: &[u8], answer: Result<(), Status>) {
        let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
        *self.codes.entry(format!("{code:?}")).or_default() += 1;
        if let Some(complaint) = answer.err().and_then(|status| complaint(method, bytes, &status)) {
            self.complain(format!("{}: {complaint}; the request was {}", method.path, hex(bytes)));
        }
    }

    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(complaint);
        }
    }

    fn add(&mut self, other: Self) {
        other.codes.into_iter().for_each(|(code, count)| *self.codes.entry(code).or_default() += count);
        other.complaints.into_iter().for_each(|complaint| self.complain(complaint));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<_> = self.codes.iter().map(|(code, count)| format!("{count} {code}")).collect();
        write!(f, "{}", codes.join(", "))
    }
}

/// What is wrong with a refusal, if anything.
fn complaint(method: &Method, bytes: &[u8], status: &Status) -> Option<String> {
    let told = || Some(format!("{:?}: {}", status.code(), status.message()));
    match status.code() {
        Code::Internal if !(method.is_request)(bytes) => None,
        Code::OutOfRange if bytes.len() > method.most_bytes() => None,
        Code::InvalidArgument
            if status.get_details_bad_request().is_none_or(|wrong| wrong.field_violations.is_empty()) =>
        {
            let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
            let others = ["FILTER_MISMATCH", "IDEMPOTENCY_MISMATCH"];
            if others.contains(&&*reason) { None } else { told().map(|told| format!("no field is named: {told}")) }
        }
        Code::OutOfRange | Code::NotFound | Code::FailedPrecondition | Code::Aborted | Code::ResourceExhausted
            if status.get_details_error_info().is_none() =>
        {
            told().map(|told| format!("no reason is told: {told}"))
        }
        Code::InvalidArgument
        | Code::OutOfRange
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::ResourceExhausted => None,
        _ => told(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(100).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 100 { format!("{shown}.. ({} bytes)", bytes.len()) } else { shown }
}

/// A request: right but for its content, of another call, damaged, cut, repeated, extended, or nothing but noise.
fn bytes(method: &Method, rng: &mut StdRng) -> Vec<u8> {
    let request = (method.request)(rng);
    match rng.random_range(0..16) {
        0 => noise(rng),
        1 => request[..rng.random_range(0..=request.len())].to_vec(),
        2 => (METHODS.choose(rng).expect("some").request)(rng),
        3 => [request, unknown_field(rng)].concat(),
        4 => repeated(&extreme_field(rng), rng.random_range(1..2000)),
        5 => [request, extreme_field(rng)].concat(),
        6 => nested(rng.random_range(1..300)),
        7..11 => damaged(request, rng),
        _ => request,
    }
}

fn noise(rng: &mut StdRng) -> Vec<u8> {
    (0..rng.random_range(0..200)).map(|_| rng.random()).collect()
}

fn damaged(mut bytes: Vec<u8>, rng: &mut StdRng) -> Vec<u8> {
    for _ in 0..rng.random_range(1..6) {
        let place = rng.random_range(0..=bytes.len());
        match bytes.get_mut(place) {
            None => bytes.push(rng.random()),
            Some(byte) if rng.random_bool(0.7) => *byte ^= 1 << rng.random_range(0..8),
            Some(_) if rng.random_bool(0.5) => drop(bytes.remove(place)),
            Some(_) => bytes.insert(place, rng.random()),
        }
    }
    bytes
}

/// A field that no message has, with up to more than a request may hold.
fn unknown_field(rng: &mut StdRng) -> Vec<u8> {
    let length = *[0, 10, 1000, 60_000, 300_000].choose(rng).expect("some");
    let mut bytes = vec![0xfa, 0x3f];
    prost::encoding::encode_varint(length as u64, &mut bytes);
    bytes.extend(std::iter::repeat_n(0, length));
    bytes
}

/// A field that there may be: empty, or as large as a number can be.
fn extreme_field(rng: &mut StdRng) -> Vec<u8> {
    let number = rng.random_range(1..10_u8);
    match rng.random_range(0..3) {
        0 => vec![number << 3 | 2, 0],
        1 => [&[number << 3][..], &[0xff; 9], &[1]].concat(),
        _ => vec![number << 3, 0x80, 0x80, 0x80, 0x80, 8],
    }
}

fn repeated(bytes: &[u8], count: usize) -> Vec<u8> {
    bytes.repeat(count)
}

/// Messages within messages.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| {
        let mut bytes = vec![0x0a];
        prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
        [bytes, inner].concat()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_said_is_complained_about() {
        let method = &METHODS[0];
        let says = |code, bytes: &[u8]| complaint(method, bytes, &Status::new(code, "")).is_some();
        assert!(!says(Code::Internal, &[0x0f]), "no protobuf");
        assert!(says(Code::Internal, &[]) && says(Code::Unknown, &[]) && says(Code::Unavailable, &[]));
        assert!(says(Code::InvalidArgument, &[]), "without a field");
        assert!(says(Code::OutOfRange, &[]) && !says(Code::OutOfRange, &vec![0; 300_000]));
    }

    #[test]
    fn the_same_seed_makes_the_same_calls() {
        let calls = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..200).map(|n| bytes(&METHODS[n % METHODS.len()], &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(calls(1), calls(1));
        assert_ne!(calls(1), calls(2));
    }
}
