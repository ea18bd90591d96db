//! Who may call what: one table of every rpc, with the roles that may call it and the data that a call may reach.
//!
//! A server denies every rpc that has no row here. A test compares the table with the descriptors, both ways.

use std::str::FromStr;

/// What a caller is to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the business.
    Owner,
    /// Works for it: takes, moves and looks at orders.
    Staff,
    /// Brings orders.
    Courier,
    /// Orders.
    Customer,
    /// Another program of the business, such as a gateway.
    Service,
    /// Holds the tracking token of one order.
    Tracker,
    /// Runs this installation of Comanda, for all tenants.
    Operator,
}

impl Role {
    /// Every role that a credential may give, the one that may do most first.
    pub const ALL: [Self; 6] = [Self::Owner, Self::Staff, Self::Service, Self::Operator, Self::Courier, Self::Customer];

    /// As it is written in settings, claims and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Staff => "staff",
            Self::Courier => "courier",
            Self::Customer => "customer",
            Self::Service => "service",
            Self::Tracker => "tracker",
            Self::Operator => "operator",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    /// A role that a credential may give: a tracker has a token of its own kind.
    fn from_str(name: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| format!("must be one of {names}"))
    }
}

/// What a call may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Nothing that belongs to anybody: whether a service serves. Open to everyone.
    Public,
    /// What the server is made of: the descriptions of its rpcs.
    Server,
    /// What belongs to the caller's tenant. Of that, a customer reaches only its own orders, a tracker only its one order, and a courier
    /// looks at all orders, moves those that are assigned to it, and where dispatch serves it reaches itself and its own assignments alone.
    Tenant,
    /// What belongs to the installation.
    Installation,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// As in the `:path` of a call: `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call it; empty where everyone may.
    pub roles: &'static [Role],
    /// What it may reach.
    pub reach: Reach,
}

const EVERYONE: &[Role] = &[];
const BUSINESS: &[Role] = &[Role::Owner, Role::Staff, Role::Service];
const BUSINESS_AND_COURIER: &[Role] = &[Role::Owner, Role::Staff, Role::Service, Role::Courier];
const BUSINESS_AND_CUSTOMER: &[Role] = &[Role::Owner, Role::Staff, Role::Service, Role::Customer];
const ALL_OF_A_TENANT: &[Role] = &[Role::Owner, Role::Staff, Role::Service, Role::Courier, Role::Customer];

/// Every caller with credentials of its own, but not the holders of tracking tokens.
const ALL_WITH_A_NAME: &[Role] =
    &[Role::Owner, Role::Staff, Role::Service, Role::Courier, Role::Customer, Role::Operator];

/// Who looks at one order.
const ALL_AND_TRACKER: &[Role] =
    &[Role::Owner, Role::Staff, Role::Service, Role::Courier, Role::Customer, Role::Tracker];

const fn rule(path: &'static str, roles: &'static [Role], reach: Reach) -> Rule {
    Rule { path, roles, reach }
}

/// Every rpc that a server of Comanda has.
pub const TABLE: &[Rule] = &[
    rule("/comanda.v1.OrderService/CreateOrder", BUSINESS_AND_CUSTOMER, Reach::Tenant),
    rule("/comanda.v1.OrderService/BatchCreateOrders", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.OrderService/GetOrder", ALL_AND_TRACKER, Reach::Tenant),
    rule("/comanda.v1.OrderService/BatchGetOrders", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.OrderService/ListOrders", ALL_OF_A_TENANT, Reach::Tenant),
    rule("/comanda.v1.OrderService/EraseCustomer", &[Role::Owner], Reach::Tenant),
    rule("/comanda.v1.LifecycleService/AdvanceOrder", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.LifecycleService/CancelOrder", BUSINESS_AND_CUSTOMER, Reach::Tenant),
    rule("/comanda.v1.LifecycleService/RejectOrder", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.LifecycleService/ListTransitions", ALL_OF_A_TENANT, Reach::Tenant),
    rule("/comanda.v1.LifecycleService/ListWorkflows", ALL_OF_A_TENANT, Reach::Tenant),
    rule("/comanda.v1.LifecycleService/GetWorkflow", ALL_AND_TRACKER, Reach::Tenant),
    rule("/comanda.v1.WatchService/WatchOrder", ALL_AND_TRACKER, Reach::Tenant),
    rule("/comanda.v1.WatchService/WatchOrders", ALL_OF_A_TENANT, Reach::Tenant),
    rule("/comanda.v1.MailService/ListMails", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.MailService/ResendMail", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.MailService/ResendDeadMails", &[Role::Owner], Reach::Tenant),
    rule("/comanda.v1.DispatchService/RegisterCourier", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.DispatchService/SetCourierStatus", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/StreamLocations", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/ReportLocation", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/ListCouriers", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.DispatchService/GetAssignment", ALL_OF_A_TENANT, Reach::Tenant),
    rule("/comanda.v1.DispatchService/ListAssignments", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/AssignOrder", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.DispatchService/AcceptOffer", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/DeclineOffer", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/WithdrawAssignment", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/MarkArrived", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/MarkPickedUp", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/CompleteAssignment", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.DispatchService/WatchCourier", BUSINESS_AND_COURIER, Reach::Tenant),
    rule("/comanda.v1.AnalyticsService/CountOrders", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.AnalyticsService/ReportDwell", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.AnalyticsService/ReportRates", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.AnalyticsService/ReportRevenue", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.AnalyticsService/ReportCouriers", BUSINESS, Reach::Tenant),
    rule("/comanda.v1.AnalyticsService/GetAnalyticsState", BUSINESS, Reach::Tenant),
    rule("/grpc.health.v1.Health/Check", EVERYONE, Reach::Public),
    rule("/grpc.health.v1.Health/Watch", EVERYONE, Reach::Public),
    rule("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ALL_WITH_A_NAME, Reach::Server),
    rule("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", ALL_WITH_A_NAME, Reach::Server),
];

/// The row of an rpc; `None` is a denial.
pub fn rule_of(path: &str) -> Option<&'static Rule> {
    TABLE.iter().find(|rule| rule.path == path)
}

impl Rule {
    /// Whether a caller of this role may call it.
    pub fn admits(&self, role: Role) -> bool {
        self.reach == Reach::Public || self.roles.contains(&role)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    fn methods_of_comanda() -> BTreeSet<String> {
        let files = FileDescriptorSet::decode(crate::DESCRIPTORS).expect("descriptors").file;
        let services = files.iter().flat_map(|file| {
            file.service.iter().map(move |service| (format!("{}.{}", file.package(), service.name()), service))
        });
        services
            .flat_map(|(name, service)| {
                service.method.iter().map(move |method| format!("/{name}/{}", method.name())).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn every_rpc_of_the_descriptors_has_a_row_and_every_row_an_rpc() {
        let rows: BTreeSet<_> = TABLE.iter().map(|rule| rule.path.to_owned()).collect();
        assert_eq!(rows.len(), TABLE.len(), "a row is there twice");
        let ours: BTreeSet<_> = rows.into_iter().filter(|path| path.starts_with("/comanda.")).collect();
        assert_eq!(ours, methods_of_comanda());
    }

    #[test]
    fn only_the_health_of_a_service_is_open_to_everyone() {
        let open = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];
        for rule in TABLE {
            let is_open = open.contains(&rule.path);
            assert_eq!(rule.roles.is_empty(), is_open, "{}", rule.path);
            assert_eq!(rule.reach == Reach::Public, is_open, "{}", rule.path);
            assert_eq!(rule.reach == Reach::Tenant, rule.path.starts_with("/comanda."), "{}", rule.path);
        }
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        for wrong in ["tracker", "Owner", "", "root"] {
            assert!(wrong.parse::<Role>().expect_err("refused").contains("owner, staff"), "{wrong}");
        }
    }

    #[test]
    fn a_tracker_reads_one_order_and_what_its_statuses_are_called() {
        let may: Vec<_> =
            TABLE.iter().filter(|rule| rule.roles.contains(&Role::Tracker)).map(|rule| rule.path).collect();
        assert_eq!(
            may,
            [
                "/comanda.v1.OrderService/GetOrder",
                "/comanda.v1.LifecycleService/GetWorkflow",
                "/comanda.v1.WatchService/WatchOrder"
            ]
        );
    }

    #[test]
    fn what_has_no_row_is_denied() {
        assert_eq!(rule_of("/comanda.v1.OrderService/DropEverything"), None);
    }
}
