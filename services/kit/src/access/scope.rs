//! What of the data a caller may reach.

use std::sync::Arc;

use comanda_proto::{access::Role, v1::Order};
use tonic::codegen::http::Extensions;
use uuid::Uuid;

use super::DEFAULT_TENANT;
use crate::{errors::ApiError, tracking::Claims};

/// Who calls, and for which tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    tenant: Arc<str>,
    subject: Arc<str>,
    role: Role,
    /// The only order that it may reach.
    order: Option<Uuid>,
}

impl Scope {
    /// A caller of a tenant. `subject` names it in the history of orders; of a customer it is the customer_id, of a courier the courier_id.
    pub fn new(tenant: &str, subject: &str, role: Role) -> Self {
        Self { tenant: tenant.into(), subject: subject.into(), role, order: None }
    }

    /// The caller of a server without access settings: the owner of the tenant [`DEFAULT_TENANT`].
    pub fn built_in() -> Self {
        Self::new(DEFAULT_TENANT, "owner", Role::Owner)
    }

    /// The holder of the tracking token of an order.
    pub fn tracker(claims: &Claims) -> Self {
        Self { order: Some(claims.order_id), ..Self::new(&claims.tenant, "tracking", Role::Tracker) }
    }

    /// The same caller, acting for somebody: that name is kept in the history.
    #[must_use]
    pub fn acting_as(&self, actor: &str) -> Self {
        Self { subject: actor.into(), ..self.clone() }
    }

    /// What the server found out about the caller of a call.
    pub fn of(extensions: &Extensions) -> Result<Self, ApiError> {
        extensions.get().cloned().ok_or_else(ApiError::internal)
    }

    /// Whose data the call may reach. Nothing of another tenant is readable, writable or even visible to it.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The caller's name, which the history keeps as the actor of its commands.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the caller is to its tenant.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The only customer whose orders the caller may reach; `None` where it may reach those of all.
    pub fn customer_id(&self) -> Option<&str> {
        (self.role == Role::Customer).then_some(&self.subject)
    }

    /// Whether the caller may reach orders of this customer.
    pub fn reaches_customer(&self, customer_id: &str) -> bool {
        self.customer_id().is_none_or(|only| only == customer_id)
    }

    /// Whether the caller may reach this order of its tenant, as far as the order's id tells. Where not, the answer is that of an order that
    /// does not exist.
    pub fn reaches(&self, order_id: Uuid) -> bool {
        self.order.is_none_or(|only| only == order_id)
    }

    /// What the caller may see of an order: a tracker nothing of who ordered, and no labels, which are the business's own.
    pub fn shown(&self, mut order: Order) -> Order {
        if self.role == Role::Tracker {
            (order.customer, order.labels) = (None, Default::default());
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn tracker(order_id: Uuid) -> Scope {
        Scope::tracker(&Claims { tenant: "acme".into(), order_id, expires: UNIX_EPOCH })
    }

    #[test]
    fn a_tracker_reaches_one_order_and_is_shown_nothing_of_who_ordered() {
        let order_id = Uuid::now_v7();
        assert!(tracker(order_id).reaches(order_id) && !tracker(order_id).reaches(Uuid::now_v7()));
        assert!(Scope::built_in().reaches(order_id));
        let order = Order {
            number: 7,
            customer: Some(Default::default()),
            labels: [("till".to_owned(), "2".to_owned())].into(),
            ..Default::default()
        };
        assert_eq!(Scope::built_in().shown(order.clone()), order);
        assert_eq!(tracker(order_id).shown(order), Order { number: 7, ..Default::default() });
    }

    #[test]
    fn a_customer_reaches_its_own_orders_alone() {
        let customer = Scope::new("acme", "ana", Role::Customer);
        assert!(customer.reaches_customer("ana") && !customer.reaches_customer("bob"));
        let staff = Scope::new("acme", "ana", Role::Staff);
        assert!(staff.reaches_customer("bob") && staff.customer_id().is_none());
    }
}
