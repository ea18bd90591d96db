//! What timers do, for the statement that fires them: of each status that a timer ends, the step that [`decide`] takes. It decides alone;
//! here its decisions are only listed.

use std::collections::HashSet;

use comanda_proto::v1::Workflow;

use crate::machine::{Command, Decision, Step, decide};

/// Beyond so many edges those of workflows that have no order under way any more are forgotten, with all others.
const MANY: usize = 256;

/// The step of a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The workflow's name.
    pub workflow: String,
    /// Its revision.
    pub revision: i32,
    /// The status that ends.
    pub from_status: String,
    /// What follows.
    pub step: Step,
}

/// The steps of timers in the workflows that are known.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    known: HashSet<(String, i32)>,
    edges: Vec<Edge>,
}

impl Edges {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Edge> + Clone {
        self.edges.iter()
    }

    /// Whether the edges of a revision are listed.
    pub fn knows(&self, workflow: &str, revision: i32) -> bool {
        self.known.contains(&(workflow.to_owned(), revision))
    }

    /// Lists the edges of a revision.
    pub fn add(&mut self, workflow: &Workflow) {
        if self.known.insert((workflow.name.clone(), workflow.revision)) {
            self.edges.extend(of(workflow));
        }
    }

    /// Forgets all where there are many: those that are needed are added again.
    pub fn forget_if_many(&mut self) {
        if self.edges.len() > MANY {
            *self = Self::default();
        }
    }
}

fn of(workflow: &Workflow) -> impl Iterator<Item = Edge> {
    workflow.statuses.iter().filter_map(|status| {
        let Decision::Step(step) = decide(workflow, &status.name, &Command::Timer) else { return None };
        Some(Edge {
            workflow: workflow.name.clone(),
            revision: workflow.revision,
            from_status: status.name.clone(),
            step,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::shipped;

    #[test]
    fn workflows_are_added_once_and_forgotten_when_they_are_many() {
        let mut edges = Edges::default();
        let delivery =
            shipped().expect("they are valid").into_iter().find(|w| w.name == "delivery").expect("is shipped");
        for _ in 0..2 {
            edges.add(&delivery);
        }
        assert_eq!(
            edges.iter().map(|edge| edge.from_status.as_str()).collect::<Vec<_>>(),
            ["received", "preparing", "dispatched"]
        );
        assert!(edges.knows("delivery", delivery.revision) && !edges.knows("delivery", delivery.revision + 1));
        edges.forget_if_many();
        for revision in 1..=86 {
            edges.add(&Workflow { revision: delivery.revision + revision, ..delivery.clone() });
        }
        assert!(edges.knows("delivery", delivery.revision));
        edges.forget_if_many();
        assert_eq!((edges.iter().count(), edges.knows("delivery", delivery.revision)), (0, false));
    }
}
