//! Large histories.

use std::time::{Duration, Instant};

use comanda_checker::history::*;

use crate::{
    alter::{verdict, violated},
    story::calm,
};

/// A right history as often as this side by side, under other names; its boards see them all.
fn side_by_side(copies: u64) -> Vec<Line> {
    let mut lines: Vec<Line> = calm().into_iter().map(|line| numbered(line, 0)).collect();
    for copy in 1..copies {
        lines.extend(calm().into_iter().filter(|line| !is_single(&line.what)).map(|line| renamed(line, copy, copies)));
    }
    lines
}

/// What a history tells once.
fn is_single(what: &What) -> bool {
    match what {
        What::Run(_) | What::LastHeal | What::Drained | What::Workflow(_) | What::Sample { .. } => true,
        What::WatchAll { .. } | What::Event { event: Event::Heartbeat { .. } | Event::SnapshotComplete, .. } => true,
        What::StreamEnd { stream, .. } => *stream >= 900,
        _ => false,
    }
}

fn renamed(mut line: Line, copy: u64, copies: u64) -> Line {
    match &mut line.what {
        What::Invoke { call, .. } | What::Return { call, .. } => *call += copy * 1_000,
        What::Watch { stream, .. } | What::Event { stream, .. } | What::StreamEnd { stream, .. } if *stream < 900 => {
            *stream += copy * 1_000;
        }
        What::Record { offset, .. } => *offset = *offset * copies as i64 + copy as i64,
        _ => {}
    }
    let mut text = serde_json::to_string(&line).expect("a line");
    for name in ["order-", "customer-", "request-", "command-"] {
        text = text.replace(name, &format!("{name}{copy}-"));
    }
    numbered(serde_json::from_str(&text).expect("a line"), copy)
}

/// With numbers that rise as the orders of all copies are made.
fn numbered(line: Line, copy: u64) -> Line {
    let mut text = serde_json::to_string(&line).expect("a line");
    for place in 0..4 {
        let number = (place + 1) * 100_000 + copy;
        text = text.replace(&format!("\"number\":{}", 100 + place), &format!("\"number\":{number}"));
    }
    serde_json::from_str(&text).expect("a line")
}

#[test]
fn thousands_of_orders_are_judged_in_seconds() {
    let copies = std::env::var("COPIES").map_or(500, |copies| copies.parse().expect("a number"));
    let mut lines = side_by_side(copies);
    // The first history keeps its offsets, the others lie behind: spread it, too.
    for line in &mut lines {
        match &mut line.what {
            What::Record { offset, key, .. } if key.matches('-').count() == 1 => *offset *= copies as i64,
            _ => {}
        }
    }
    println!("{} lines", lines.len());
    let begun = Instant::now();
    let verdict = verdict(lines);
    println!("judged in {:?}", begun.elapsed());
    assert_eq!(violated(&verdict), []);
    assert_eq!(verdict.figures.accepted, 4 * copies);
    assert!(begun.elapsed() < Duration::from_secs(60));
}
