//! The kinds of fault.

use crate::cluster::{Class, Role};

/// What is done to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Processes of a role are killed without warning, and started again.
    RoleKilled(Role),
    /// Processes of a role are told to stop, and started again.
    RoleStopped(Role),
    /// Processes of a role do nothing for a while, and do not know it.
    RoleFrozen(Role),
    /// Processes of a role may open hardly any more files and connections.
    RoleShortOfFiles(Role),
    /// Postgres rolls back what is open, stops and starts.
    PostgresRestarted,
    /// Postgres stops at once and recovers from its log.
    PostgresCrashed,
    /// Postgres does nothing for a while.
    PostgresFrozen,
    /// Half of the connections to Postgres are ended, again and again.
    BackendsTerminated,
    /// Somebody holds a lock on a table that everybody needs.
    TableLocked,
    /// A broker is killed without warning, and started again.
    BrokerKilled,
    /// A broker is told to stop, and started again.
    BrokerStopped,
    /// A broker does nothing for a while.
    BrokerFrozen,
    /// Two brokers of three are killed: nothing can be written.
    BrokersKilled,
    /// Links of a class are hurt.
    Link(Class, Hurt),
    /// The mail server misbehaves.
    Mail(Trouble),
    /// Others take the processors' time.
    ProcessorsStarved,
    /// Records that nobody can read are put on a topic.
    GarbagePlanted,
    /// Records of the past are put on a topic again.
    RecordsReplayed,
    /// A role's consumer groups are deleted with their offsets.
    GroupForgotten(Role),
    /// The topics are deleted with all records, made again, and everything is published again.
    TopicsLost,
}

/// How a link is hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hurt {
    /// All takes longer.
    Slow,
    /// Little passes.
    Throttled,
    /// What is sent gets lost.
    Mute,
    /// What is answered gets lost.
    Deaf,
    /// Everything gets lost.
    Dead,
    /// Connections are reset, again and again.
    Reset,
    /// Connections are reset and nobody can connect, as when the server's program has ended.
    Refusing,
    /// Connections are reset at the worst moments.
    Cut,
}

impl Hurt {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Slow, Self::Throttled, Self::Mute, Self::Deaf, Self::Dead, Self::Reset, Self::Refusing, Self::Cut];

    fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Throttled => "throttled",
            Self::Mute => "mute",
            Self::Deaf => "deaf",
            Self::Dead => "dead",
            Self::Reset => "reset",
            Self::Refusing => "refusing",
            Self::Cut => "cut",
        }
    }
}

/// How the mail server misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// It puts everybody off, in some phase.
    PutsOff,
    /// It refuses recipients for good, which kills their mails.
    Refuses,
    /// It falls silent in some phase.
    Silent,
    /// It hangs up in some phase.
    HangsUp,
    /// It hangs up in the middle of messages.
    CutsBeforeDot,
    /// It takes messages and hangs up instead of saying so.
    CutsAfterDot,
    /// It takes messages, says so and hangs up.
    CutsAfterReply,
    /// It answers with codes alone, without any text.
    SpeaksBare,
    /// It ends its lines with LF alone.
    SpeaksLineFeed,
    /// Its texts are no UTF-8.
    SpeaksLatin1,
    /// It refuses the client or its sender, in the phase in which mail servers say so.
    RefusesUs,
    /// It says that too much was sent.
    OverQuota,
    /// A little of everything.
    Mixed,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::PutsOff,
        Self::Refuses,
        Self::Silent,
        Self::HangsUp,
        Self::CutsBeforeDot,
        Self::CutsAfterDot,
        Self::CutsAfterReply,
        Self::SpeaksBare,
        Self::SpeaksLineFeed,
        Self::SpeaksLatin1,
        Self::RefusesUs,
        Self::OverQuota,
        Self::Mixed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PutsOff => "puts off",
            Self::Refuses => "refuses recipients",
            Self::Silent => "silent",
            Self::HangsUp => "hangs up",
            Self::CutsBeforeDot => "cuts before the dot",
            Self::CutsAfterDot => "cuts after the dot",
            Self::CutsAfterReply => "cuts after the reply",
            Self::SpeaksBare => "speaks bare codes",
            Self::SpeaksLineFeed => "speaks with line feeds alone",
            Self::SpeaksLatin1 => "speaks Latin-1",
            Self::RefusesUs => "refuses us",
            Self::OverQuota => "refuses for a quota",
            Self::Mixed => "mixed",
        }
    }
}

impl Kind {
    /// All that a run may mix, of a system with these roles: after each of them the system mends itself.
    pub fn all(roles: &[Role], brokers: usize) -> Vec<Self> {
        let of_role = [Self::RoleKilled, Self::RoleStopped, Self::RoleFrozen, Self::RoleShortOfFiles];
        let of_roles = roles.iter().flat_map(|role| of_role.map(|kind| kind(*role)));
        let links = Class::ALL.into_iter().flat_map(|class| Hurt::ALL.map(|hurt| Self::Link(class, hurt)));
        let single = [
            Self::PostgresRestarted,
            Self::PostgresCrashed,
            Self::PostgresFrozen,
            Self::BackendsTerminated,
            Self::TableLocked,
            Self::BrokerKilled,
            Self::BrokerStopped,
            Self::BrokerFrozen,
            Self::ProcessorsStarved,
            Self::GarbagePlanted,
            Self::RecordsReplayed,
            Self::GroupForgotten(Role::StateMachine),
            Self::GroupForgotten(Role::Notification),
            Self::GroupForgotten(Role::Dispatch),
        ];
        let several = (brokers >= 3).then_some(Self::BrokersKilled);
        of_roles.chain(single).chain(several).chain(links).chain(Trouble::ALL.map(Self::Mail)).collect()
    }

    /// As in the history.
    pub fn name(self) -> String {
        match self {
            Self::RoleKilled(role) => format!("{} killed", role.name()),
            Self::RoleStopped(role) => format!("{} stopped", role.name()),
            Self::RoleFrozen(role) => format!("{} frozen", role.name()),
            Self::RoleShortOfFiles(role) => format!("{} short of files", role.name()),
            Self::PostgresRestarted => "postgres restarted".into(),
            Self::PostgresCrashed => "postgres crashed".into(),
            Self::PostgresFrozen => "postgres frozen".into(),
            Self::BackendsTerminated => "postgres backends terminated".into(),
            Self::TableLocked => "postgres table locked".into(),
            Self::BrokerKilled => "kafka broker killed".into(),
            Self::BrokerStopped => "kafka broker stopped".into(),
            Self::BrokerFrozen => "kafka broker frozen".into(),
            Self::BrokersKilled => "kafka brokers killed, two of three".into(),
            Self::Link(class, hurt) => format!("{} links {}", class.name(), hurt.name()),
            Self::Mail(trouble) => format!("mail server {}", trouble.name()),
            Self::ProcessorsStarved => "processors starved".into(),
            Self::GarbagePlanted => "garbage planted".into(),
            Self::RecordsReplayed => "replay of old records".into(),
            Self::GroupForgotten(role) => format!("consumer group of {} forgotten", role.name()),
            Self::TopicsLost => "topics lost".into(),
        }
    }

    /// Between how many milliseconds and how many it lasts.
    pub fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::RoleKilled(_) | Self::RoleStopped(_) => (100, 4_000),
            // Beyond the lease (5 s) and the session of a group (6 s), too.
            Self::RoleFrozen(_) | Self::RoleShortOfFiles(_) => (500, 9_000),
            Self::PostgresRestarted | Self::PostgresCrashed => (0, 2_000),
            Self::PostgresFrozen | Self::TableLocked => (1_000, 8_000),
            Self::BackendsTerminated => (500, 4_000),
            Self::BrokerKilled | Self::BrokerStopped | Self::BrokerFrozen => (500, 9_000),
            Self::BrokersKilled => (3_000, 12_000),
            Self::Link(_, Hurt::Reset) => (300, 3_000),
            Self::Link(..) => (1_000, 9_000),
            // A mail that is refused is dead.
            Self::Mail(Trouble::Refuses) => (50, 200),
            Self::Mail(_) => (1_000, 9_000),
            Self::ProcessorsStarved => (1_000, 5_000),
            Self::GarbagePlanted | Self::RecordsReplayed => (0, 0),
            Self::GroupForgotten(_) => (0, 1_000),
            Self::TopicsLost => (0, 0),
        }
    }
}
