//! C7, many orders: chains of streams, each resumed with a token of the one before, that together leave out nothing.

mod chain;
mod cover;
mod index;

use std::collections::HashMap;

use chain::Chain;
use index::Index;

use crate::{
    case::{Case, Kind, Stream},
    findings::Findings,
    history::Start,
};

/// Looks at each chain of streams.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let index = Index::new(case);
    follow(case, &mut |told| match told {
        Told::Wrong { order_id: Some(order_id), at_us, problem } => found.at(order_id, at_us, problem),
        Told::Wrong { order_id: None, at_us, problem } => found.system(Some(at_us), problem),
        Told::Tip(chain) => {
            if case.calm() && case.republished.is_empty() && chain.repeats > 0 {
                let (tip, repeats) = (chain.tip, chain.repeats);
                found.system(None, format!("stream {tip} repeats {repeats} transitions in a run without faults"));
            }
            cover::check(case, found, chain, &index);
        }
    });
    if case.calm() && expired(case) > 0 {
        found.system(None, format!("{} streams ended with OUT_OF_RANGE in a run without faults", expired(case)));
    }
}

/// Transitions that chains showed again.
pub fn repeats(case: &Case<'_>) -> u64 {
    let mut repeats = 0;
    follow(case, &mut |told| {
        if let Told::Tip(chain) = told {
            repeats += chain.repeats;
        }
    });
    repeats
}

/// Streams whose token was worth nothing any more.
pub fn expired(case: &Case<'_>) -> u64 {
    streams(case).filter(|stream| stream.end.is_some_and(|(_, code, _)| code == "OUT_OF_RANGE")).count() as u64
}

/// What is told while chains are followed.
enum Told<'c, 'a> {
    /// Something that must not be.
    Wrong { order_id: Option<&'c str>, at_us: u64, problem: String },
    /// The end of a chain.
    Tip(&'c Chain<'a>),
}

type Tell<'t, 'a> = &'t mut dyn FnMut(Told<'_, 'a>);

fn streams<'c, 'a>(case: &'c Case<'a>) -> impl Iterator<Item = &'c Stream<'a>> {
    case.streams.values().filter(|stream| matches!(stream.kind, Kind::All { .. }))
}

/// Follows every chain to its tip.
fn follow<'a>(case: &Case<'a>, tell: Tell<'_, 'a>) {
    // A resumed stream that showed nothing leaves its chain as it was.
    let shows = |stream: &&Stream<'_>| token_of(stream).is_none() || !stream.events.is_empty();
    let mut heirs: HashMap<u64, usize> = HashMap::new();
    for of in streams(case).filter(shows).filter_map(token_of) {
        *heirs.entry(of).or_default() += 1;
    }
    let mut open: HashMap<u64, Chain<'a>> = HashMap::new();
    for stream in streams(case) {
        chain::end(stream, tell);
        if !shows(&stream) {
            continue;
        }
        let Some(mut chain) = begin(&mut open, &mut heirs, stream) else {
            let problem = format!("stream {} resumes one that is not known", stream.stream);
            tell(Told::Wrong { order_id: None, at_us: stream.opened_us, problem });
            continue;
        };
        chain.follow(case, stream, tell);
        match heirs.contains_key(&stream.stream) {
            true => _ = open.insert(stream.stream, chain),
            false => tell(Told::Tip(&chain)),
        }
    }
}

fn token_of(stream: &Stream<'_>) -> Option<u64> {
    match stream.kind {
        Kind::All { start: Start::Token { of }, .. } => Some(*of),
        _ => None,
    }
}

/// A new chain, or the one that a stream resumes: the last heir takes it, others get a copy.
fn begin<'a>(
    open: &mut HashMap<u64, Chain<'a>>,
    heirs: &mut HashMap<u64, usize>,
    stream: &Stream<'a>,
) -> Option<Chain<'a>> {
    let Some(of) = token_of(stream) else { return Some(Chain::new(stream)) };
    let left = heirs.get_mut(&of)?;
    *left -= 1;
    if *left == 0 { open.remove(&of) } else { open.get(&of).cloned() }
}
