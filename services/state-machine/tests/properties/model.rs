//! A workflow as the tests write it, and what holds of it, found in other ways than the service does.

use std::{collections::BTreeSet, fmt::Write};

use proptest::{collection::vec, prelude::*, sample::subsequence};

pub const TRIGGERS: [&str; 4] = ["timer", "advance", "cancel", "reject"];
const PHASES: [&str; 5] = ["active", "succeeded", "cancelled", "rejected", "failed"];
const YEAR_MS: u64 = 366 * 24 * 60 * 60 * 1000;

/// One entry `[[edge]]`. Statuses are told by their number; one number too high is a status that there is not.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: Vec<usize>,
    pub to: usize,
    pub on: Vec<&'static str>,
    pub delay_ms: Option<u64>,
}

/// A file.
#[derive(Clone, Debug)]
pub struct Model {
    /// The phase of each status.
    pub phases: Vec<&'static str>,
    pub edges: Vec<Edge>,
}

/// One step that a workflow allows: from, trigger, to.
pub type Step = (usize, &'static str, usize);

/// Files of which some can work: a chain of active statuses with ends behind it, and edges of which some are odd.
pub fn files() -> impl Strategy<Value = Model> {
    let chain = (1..4_usize, vec(prop::sample::select(&PHASES[1..]), 1..4), 0..12);
    chain.prop_flat_map(|(active, ends, odd)| {
        let count = active + ends.len();
        let mut phases = vec!["active"; active];
        phases.extend(ends);
        if odd == 0 {
            phases.reverse();
        }
        let links =
            (0..active).map(|from| Edge { from: vec![from], to: from + 1, on: vec!["advance"], delay_ms: None });
        let links: Vec<_> = links.collect();
        vec(edge(active, count), 0..6).prop_map(move |more| {
            let edges = links.iter().cloned().chain(more).collect();
            Model { phases: phases.clone(), edges }
        })
    })
}

fn edge(active: usize, count: usize) -> impl Strategy<Value = Edge> {
    let from = prop_oneof![9 => subsequence((0..active).collect::<Vec<_>>(), 1), 1 => subsequence((0..=count).collect::<Vec<_>>(), 0..=2)];
    let to = prop_oneof![9 => 0..count, 1 => Just(count)];
    let on = prop_oneof![9 => subsequence(TRIGGERS.to_vec(), 1), 3 => subsequence(TRIGGERS.to_vec(), 0..=4)];
    let delay_ms = prop_oneof![9 => 0..=YEAR_MS, 1 => any::<u32>().prop_map(|more| YEAR_MS + u64::from(more))];
    (from, to, on, delay_ms, 0..12).prop_map(|(from, to, on, delay_ms, odd)| {
        let timed = on.contains(&"timer") != (odd == 0);
        Edge { from, to, on, delay_ms: timed.then_some(delay_ms) }
    })
}

impl Model {
    /// As a workflow file.
    pub fn text(&self) -> String {
        let mut text = String::from("name = \"random\"\n");
        for (number, phase) in self.phases.iter().enumerate() {
            write!(text, "[[status]]\nname = \"s{number}\"\nphase = \"{phase}\"\n").expect("a text");
        }
        for Edge { from, to, on, delay_ms } in &self.edges {
            let from: Vec<_> = from.iter().map(|number| format!("s{number}")).collect();
            write!(text, "[[edge]]\nfrom = {from:?}\nto = \"s{to}\"\non = {on:?}\n").expect("a text");
            if let Some(delay_ms) = delay_ms {
                writeln!(text, "delay_ms = {delay_ms}").expect("a text");
            }
        }
        text
    }

    /// Every step, as often as it is told.
    pub fn steps(&self) -> Vec<Step> {
        let each = |edge: &Edge| {
            let Edge { from, to, on, .. } = edge.clone();
            from.into_iter().flat_map(move |from| on.clone().into_iter().map(move |on| (from, on, to)))
        };
        self.edges.iter().flat_map(each).collect()
    }

    /// How long an order stays in a status before its timer.
    pub fn delay_ms(&self, status: usize) -> Option<u64> {
        let timed = self.edges.iter().find(|edge| edge.on.contains(&"timer") && edge.from.contains(&status));
        timed.and_then(|edge| edge.delay_ms)
    }

    pub fn is_active(&self, status: usize) -> bool {
        self.phases[status] == "active"
    }

    /// Whether an order could follow it.
    pub fn works(&self) -> bool {
        self.edges.iter().all(is_whole)
            && self.is_active(0)
            && self.steps().iter().all(|step| self.allows(step))
            && self.is_certain()
            && self.leads_everywhere_and_ends()
            && !self.timers_go_round()
    }

    fn allows(&self, (from, on, to): &Step) -> bool {
        let known = *from < self.phases.len() && *to < self.phases.len();
        known
            && from != to
            && self.is_active(*from)
            && match *on {
                "cancel" => self.phases[*to] == "cancelled",
                "reject" => self.phases[*to] == "rejected",
                _ => true,
            }
    }

    /// Whether every command leads to one status, or says to which.
    fn is_certain(&self) -> bool {
        let steps = self.steps();
        let choices: BTreeSet<_> =
            steps.iter().map(|(from, on, to)| (from, on, Some(to).filter(|_| *on == "advance"))).collect();
        choices.len() == steps.len()
    }

    /// By Warshall's algorithm.
    fn leads_everywhere_and_ends(&self) -> bool {
        let count = self.phases.len();
        let mut leads = vec![vec![false; count]; count];
        (0..count).for_each(|status| leads[status][status] = true);
        self.steps().iter().for_each(|(from, _, to)| leads[*from][*to] = true);
        for (via, from, to) in (0..count).flat_map(|v| (0..count).flat_map(move |f| (0..count).map(move |t| (v, f, t))))
        {
            leads[from][to] |= leads[from][via] && leads[via][to];
        }
        let ends = |from: usize| (0..count).any(|to| leads[from][to] && !self.is_active(to));
        (0..count).all(|status| leads[0][status] && ends(status))
    }

    /// Whether timers alone move an order without end.
    pub fn timers_go_round(&self) -> bool {
        let steps = self.steps();
        let next =
            |status: usize| steps.iter().find(|(from, on, _)| *from == status && *on == "timer").map(|step| step.2);
        (0..self.phases.len()).any(|start| {
            let mut status = Some(start);
            (0..=self.phases.len()).for_each(|_| status = status.and_then(next));
            status.is_some()
        })
    }
}

fn is_whole(edge: &Edge) -> bool {
    let Edge { from, on, delay_ms, .. } = edge;
    let timed = on.contains(&"timer");
    !from.is_empty()
        && !on.is_empty()
        && timed == delay_ms.is_some()
        && delay_ms.is_none_or(|delay_ms| delay_ms <= YEAR_MS)
}
