//! Which fault happens when, where and for how long: a pure function of a seed.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::kind::Kind;
use crate::cluster::{Class, Role};

/// Quiet before the first fault.
const START_MS: u64 = 2_000;
/// Between one choice of faults and the next.
const PAUSE_MS: (u64, u64) = (1_000, 4_500);
/// Of a hundred choices so many are of no, one, two and three faults.
const COUNTS: [(u64, usize); 4] = [(20, 0), (45, 1), (25, 2), (10, 3)];
/// Of a hundred faults so many hit all replicas of a role at once.
const ALL_PERCENT: u32 = 25;

/// Where faults may happen.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Processes of each role that serves gRPC.
    pub replicas: usize,
    /// Gateways.
    pub gateways: usize,
    /// Brokers.
    pub brokers: usize,
}

impl Ground {
    /// The kinds of fault that can happen here.
    pub fn kinds(&self) -> Vec<Kind> {
        Kind::all(&self.linked(Class::Client), self.brokers)
    }

    fn count(&self, role: Role) -> usize {
        if role == Role::Gateway { self.gateways } else { self.replicas }
    }

    /// The roles whose processes have links of a class.
    fn linked(&self, class: Class) -> Vec<Role> {
        let gateway = (class == Class::Client && self.gateways > 0).then_some(Role::Gateway);
        match class {
            Class::Smtp => vec![Role::Notification],
            _ => Role::SERVERS.into_iter().chain(gateway).collect(),
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, from the beginning of the faults.
    pub start_ms: u64,
    /// For how long.
    pub lasts_ms: u64,
    /// What.
    pub kind: Kind,
    /// Processes that are hit, or whose links are; nothing where there is but one such thing.
    pub targets: Vec<String>,
    /// Of what is random within it.
    pub seed: u64,
}

impl Step {
    /// When it is over.
    pub fn end_ms(&self) -> u64 {
        self.start_ms + self.lasts_ms
    }

    /// Parts of the system that it takes hold of: at most one fault has each at a time, since mending one would else mend the other.
    pub fn claims(&self) -> Vec<String> {
        match self.kind {
            Kind::RoleKilled(_) | Kind::RoleStopped(_) | Kind::RoleFrozen(_) => self.targets.clone(),
            Kind::RoleShortOfFiles(_) | Kind::GroupForgotten(_) => self.targets.clone(),
            Kind::PostgresRestarted | Kind::PostgresCrashed | Kind::PostgresFrozen => vec!["postgres".into()],
            Kind::BackendsTerminated | Kind::TableLocked => vec!["postgres".into()],
            Kind::BrokerKilled | Kind::BrokerStopped | Kind::BrokerFrozen | Kind::BrokersKilled => vec!["kafka".into()],
            // They need a Kafka that answers.
            Kind::GarbagePlanted | Kind::RecordsReplayed | Kind::TopicsLost => vec!["kafka".into()],
            Kind::Link(class, _) => self.targets.iter().map(|target| format!("{} of {target}", class.name())).collect(),
            Kind::Mail(_) => vec!["mail server".into()],
            Kind::ProcessorsStarved => vec!["processors".into()],
        }
    }
}

/// The faults of a run: of these kinds, for so long, all of them over at its end.
pub fn plan(seed: u64, ground: &Ground, kinds: &[Kind], length_ms: u64) -> Vec<Step> {
    let (mut random, mut steps) = (StdRng::seed_from_u64(seed), Vec::<Step>::new());
    let mut deck = Deck { kinds: kinds.into(), left: Vec::new() };
    let mut at_ms = START_MS;
    while at_ms < length_ms {
        for _ in 0..count(&mut random) {
            let Some(kind) = deck.draw(&mut random) else { return steps };
            let step = step(at_ms, kind, ground, length_ms, &mut random);
            if !collides(&step, &steps) {
                steps.push(step);
            }
        }
        at_ms += random.random_range(PAUSE_MS.0..=PAUSE_MS.1);
    }
    steps
}

/// Kinds in random order, each once before any comes again.
struct Deck {
    kinds: Vec<Kind>,
    left: Vec<Kind>,
}

impl Deck {
    fn draw(&mut self, random: &mut StdRng) -> Option<Kind> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
            self.left.shuffle(random);
        }
        self.left.pop()
    }
}

fn count(random: &mut StdRng) -> usize {
    let mut chance = random.random_range(0..100);
    for (percent, count) in COUNTS {
        if chance < percent {
            return count;
        }
        chance -= percent;
    }
    0
}

fn step(start_ms: u64, kind: Kind, ground: &Ground, length_ms: u64, random: &mut StdRng) -> Step {
    let (least, most) = kind.lasts_ms();
    let lasts_ms = random.random_range(least..=most).min(length_ms - start_ms);
    Step { start_ms, lasts_ms, kind, targets: targets(kind, ground, random), seed: random.random() }
}

fn collides(step: &Step, steps: &[Step]) -> bool {
    let taken = steps.iter().filter(|other| other.end_ms() + settling_ms(other.kind) >= step.start_ms);
    let taken: BTreeSet<String> = taken.flat_map(Step::claims).collect();
    step.claims().iter().any(|claim| taken.contains(claim))
}

/// How long a part is left alone after a fault: what was ended must be up again before it is hit again, or mending takes turns
/// with breaking.
fn settling_ms(kind: Kind) -> u64 {
    match kind {
        Kind::PostgresRestarted | Kind::PostgresCrashed | Kind::GroupForgotten(_) | Kind::TopicsLost => 5_000,
        Kind::BrokerKilled | Kind::BrokerStopped | Kind::BrokersKilled => 8_000,
        _ => 500,
    }
}

fn targets(kind: Kind, ground: &Ground, random: &mut StdRng) -> Vec<String> {
    match kind {
        Kind::RoleKilled(role) | Kind::RoleStopped(role) | Kind::RoleFrozen(role) | Kind::RoleShortOfFiles(role) => {
            some(role, ground, random)
        }
        Kind::GroupForgotten(role) => all(role, ground),
        Kind::BrokerKilled | Kind::BrokerStopped | Kind::BrokerFrozen => some_brokers(1, ground, random),
        Kind::BrokersKilled => some_brokers(2, ground, random),
        Kind::Link(Class::Smtp, _) => some(Role::Notification, ground, random),
        Kind::Link(class, _) => {
            let roles = ground.linked(class);
            if random.random_range(0..100) < ALL_PERCENT {
                return roles.into_iter().flat_map(|role| all(role, ground)).collect();
            }
            some(roles[random.random_range(0..roles.len())], ground, random)
        }
        _ => Vec::new(),
    }
}

/// One process of a role, or all of them.
fn some(role: Role, ground: &Ground, random: &mut StdRng) -> Vec<String> {
    if random.random_range(0..100) < ALL_PERCENT {
        return all(role, ground);
    }
    vec![format!("{}-{}", role.name(), random.random_range(0..ground.count(role)))]
}

fn all(role: Role, ground: &Ground) -> Vec<String> {
    (0..ground.count(role)).map(|n| format!("{}-{n}", role.name())).collect()
}

fn some_brokers(count: usize, ground: &Ground, random: &mut StdRng) -> Vec<String> {
    let mut brokers: Vec<String> = (1..=ground.brokers).map(|n| format!("kafka-{n}")).collect();
    brokers.shuffle(random);
    brokers.truncate(count);
    brokers
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUND: Ground = Ground { replicas: 2, gateways: 1, brokers: 3 };
    const HOUR_MS: u64 = 3_600_000;

    fn hour(seed: u64) -> Vec<Step> {
        plan(seed, &GROUND, &GROUND.kinds(), HOUR_MS)
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another() {
        assert_eq!(hour(1), hour(1));
        assert_ne!(hour(1), hour(2));
    }

    #[test]
    fn every_kind_comes_within_an_hour_and_more_than_two_hundred_faults() {
        for seed in 0..20 {
            let steps = hour(seed);
            let kinds: BTreeSet<Kind> = steps.iter().map(|step| step.kind).collect();
            assert!(steps.len() >= 200, "seed {seed}: {}", steps.len());
            assert_eq!(kinds.len(), GROUND.kinds().len(), "seed {seed}");
        }
    }

    #[test]
    fn no_fault_outlives_the_plan() {
        let steps = plan(3, &GROUND, &GROUND.kinds(), 60_000);
        assert!(steps.iter().all(|step| step.end_ms() <= 60_000));
        assert!(steps.is_sorted_by_key(|step| step.start_ms));
    }

    #[test]
    fn a_part_has_one_fault_at_a_time() {
        for seed in 0..20 {
            let steps = hour(seed);
            for (n, step) in steps.iter().enumerate() {
                let later = steps[n + 1..].iter().take_while(|later| later.start_ms <= step.end_ms());
                for later in later {
                    let common = later.claims().into_iter().find(|claim| step.claims().contains(claim));
                    assert_eq!(common, None, "seed {seed}: {step:?} and {later:?}");
                }
            }
        }
    }

    #[test]
    fn faults_come_together_and_sometimes_none_does() {
        let steps = hour(4);
        assert!(steps.windows(2).any(|pair| pair[0].start_ms == pair[1].start_ms));
        assert!(steps.windows(2).any(|pair| pair[1].start_ms > pair[0].end_ms() + 4_000));
    }

    #[test]
    fn a_single_broker_is_never_two() {
        let ground = Ground { replicas: 1, gateways: 0, brokers: 1 };
        let steps = plan(5, &ground, &ground.kinds(), HOUR_MS);
        assert!(steps.iter().all(|step| step.kind != Kind::BrokersKilled));
    }

    #[test]
    fn a_gateway_is_hit_by_what_fits_it_and_by_nothing_where_there_is_none() {
        let hits = |step: &&Step| step.targets.iter().any(|target| target.starts_with("gateway"));
        let steps = hour(6);
        let hit: BTreeSet<Kind> = steps.iter().filter(hits).map(|step| step.kind).collect();
        for kind in [Kind::RoleKilled(Role::Gateway), Kind::RoleFrozen(Role::Gateway)] {
            assert!(hit.contains(&kind), "{kind:?}");
        }
        assert!(hit.iter().any(|kind| matches!(kind, Kind::Link(Class::Client, _))));
        assert!(!hit.iter().any(|kind| matches!(kind, Kind::Link(Class::Postgres | Class::Kafka | Class::Smtp, _))));
        assert!(steps.iter().all(|step| !step.targets.contains(&"gateway-1".to_owned())), "there is one");
        let without = Ground { gateways: 0, ..GROUND };
        assert!(!plan(6, &without, &without.kinds(), HOUR_MS).iter().any(|step| hits(&step)));
    }
}
