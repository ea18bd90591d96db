//! C7, many orders: chains of streams, each resumed with a token of the one before, that together leave out nothing.

mod chain;
mod cover;

use std::collections::HashMap;

use chain::Chain;

use crate::{
    case::{Case, Kind, Stream},
    history::Start,
    verdict::Findings,
};

pub use chain::Counts;

/// Looks at each chain of streams.
pub fn check(case: &Case<'_>, found: &mut Findings<'_, '_>) {
    let created = cover::created(case);
    for chain in chains(case, &mut |order_id, at_us, problem| match order_id {
        Some(order_id) => found.at(order_id, at_us, problem),
        None => found.system(Some(at_us), problem),
    }) {
        if case.calm() && case.republished.is_empty() && chain.counts.repeats > 0 {
            let evidence =
                format!("stream {} repeats {} transitions in a run without faults", chain.tip, chain.counts.repeats);
            found.system(None, evidence);
        }
        if case.calm() && chain.counts.expired > 0 {
            found.system(None, format!("stream {} ended with OUT_OF_RANGE in a run without faults", chain.tip));
        }
        cover::check(case, found, &chain, &created);
    }
}

/// Counts over all chains.
pub fn counts(case: &Case<'_>) -> Counts {
    let all = chains(case, &mut |_, _, _| {});
    all.iter().fold(Counts::default(), |sum, chain| sum + chain.counts)
}

/// Tells what is wrong: with which order, when, and what.
type Tell<'t> = &'t mut dyn FnMut(Option<&str>, u64, String);

/// Follows every chain to its tip, telling what is wrong on the way.
fn chains<'a>(case: &Case<'a>, tell: Tell<'_>) -> Vec<Chain<'a>> {
    let streams = case.streams.values().filter(|stream| matches!(stream.kind, Kind::All { .. }));
    let mut heirs: HashMap<u64, usize> = HashMap::new();
    for stream in streams.clone() {
        if let Some(of) = token_of(stream) {
            *heirs.entry(of).or_default() += 1;
        }
    }
    let mut open: HashMap<u64, Chain<'a>> = HashMap::new();
    let mut tips = Vec::new();
    for stream in streams {
        let mut chain = match token_of(stream) {
            None => Chain::new(stream),
            Some(of) => match inherit(&mut open, &mut heirs, of) {
                Some(chain) => chain,
                None => {
                    tell(
                        None,
                        stream.opened_us,
                        format!("stream {} resumes stream {of}, which is not known", stream.stream),
                    );
                    continue;
                }
            },
        };
        chain.follow(case, stream, tell);
        match heirs.contains_key(&stream.stream) {
            true => _ = open.insert(stream.stream, chain),
            false => tips.push(chain),
        }
    }
    tips
}

fn token_of(stream: &Stream<'_>) -> Option<u64> {
    match stream.kind {
        Kind::All { start: Start::Token { of }, .. } => Some(*of),
        _ => None,
    }
}

/// What a stream had shown; the last heir takes it, others get a copy.
fn inherit<'a>(open: &mut HashMap<u64, Chain<'a>>, heirs: &mut HashMap<u64, usize>, of: u64) -> Option<Chain<'a>> {
    let left = heirs.get_mut(&of)?;
    *left -= 1;
    if *left == 0 { open.remove(&of) } else { open.get(&of).cloned() }
}
