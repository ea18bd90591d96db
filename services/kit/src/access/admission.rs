//! Whether a call is admitted, and with which scope.

use std::sync::Arc;

use comanda_proto::{
    access::{Reach, Role, Rule, rule_of},
    errors::reason,
};
use metrics::counter;
use tonic::{
    Code,
    codegen::http::{Extensions, HeaderMap, HeaderValue, header},
};

use super::{
    actor,
    authenticator::Authenticator,
    denials::Denials,
    limits::Limits,
    principal::Principal,
    refusal::{Refusal, Why},
    scope::Scope,
    strangers::{Address, Strangers},
};
use crate::{errors::ApiError, tls::Peer, tracking::Keys};

/// Names the person for whom another program acts. Only the role service may.
const ACTOR: &str = "comanda-actor";

/// Gives every call its scope, or denies it.
#[derive(Clone, Debug)]
pub struct Access {
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) limits: Limits,
    strangers: Strangers,
    denials: Option<Arc<Denials>>,
}

impl Access {
    /// Admits the callers that the authenticator knows.
    pub fn new(authenticator: Authenticator) -> Self {
        Self {
            authenticator: Arc::new(authenticator),
            limits: Limits::default(),
            strangers: Strangers::new(0),
            denials: None,
        }
    }

    /// Everyone who shows no credentials is `caller`.
    pub fn everyone_is(caller: Scope) -> Self {
        Self::new(Authenticator::open(caller))
    }

    /// Takes the tracking tokens of these keys as well.
    #[must_use]
    pub fn with_tracking(self, tracking: Option<Arc<Keys>>) -> Self {
        let authenticator = Arc::new(Authenticator::clone(&self.authenticator).with_tracking(tracking));
        Self { authenticator, ..self }
    }

    /// Holds each tenant to these limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Holds addresses that show no good credentials to this limit.
    #[must_use]
    pub fn with_strangers(self, strangers: Strangers) -> Self {
        Self { strangers, ..self }
    }

    /// Notes what is denied.
    #[must_use]
    pub fn with_denials(self, denials: Arc<Denials>) -> Self {
        Self { denials: Some(denials), ..self }
    }

    /// Who calls; `None` where that makes no difference.
    pub(super) async fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        from: Origin<'_>,
    ) -> Result<Option<Principal>, ApiError> {
        let rule = rule_of(path);
        if rule.is_some_and(|rule| rule.reach == Reach::Public) {
            return Ok(None);
        }
        let shown = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        self.strangers.admit(from.address, shown)?;
        match self.judge(rule, headers, from.peer).await {
            Ok(principal) => {
                self.strangers.passed(shown);
                // As gRPC has it: clients find out by this code what a server does not have.
                let unknown = || ApiError::new(Code::Unimplemented, reason::UNKNOWN_RPC, "this server has no such rpc");
                rule.ok_or_else(unknown)?;
                self.limits.take_call(principal.scope.tenant())?;
                Ok(Some(principal))
            }
            Err(refusal) => {
                if refusal.is_of_credentials() {
                    self.strangers.failed(from.address);
                }
                Err(self.refused(rule, refusal))
            }
        }
    }

    async fn judge(&self, rule: Option<&Rule>, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Principal, Refusal> {
        let principal = self.authenticator.authenticate(headers, peer).await?;
        if rule.is_some_and(|rule| !rule.admits(principal.scope.role())) {
            return Err(Refusal::to(principal.scope, Why::Role));
        }
        match headers.get(ACTOR) {
            None => Ok(principal),
            Some(_) if principal.scope.role() != Role::Service => Err(Refusal::to(principal.scope, Why::Actor)),
            Some(actor) => {
                let actor = actor::checked(ACTOR, actor.to_str().unwrap_or_default()).map_err(Refusal::Failed)?;
                Ok(Principal { scope: principal.scope.acting_as(actor), ..principal })
            }
        }
    }

    fn refused(&self, rule: Option<&Rule>, refusal: Refusal) -> ApiError {
        if let Refusal::Denied { why, who } = &refusal {
            counter!("comanda_denied_calls_total", "reason" => why.name()).increment(1);
            let path = rule.map_or("an unknown rpc", |rule| rule.path);
            self.denials.iter().for_each(|denials| denials.note(path, *why, who.as_deref()));
        }
        refusal.into()
    }
}

impl Default for Access {
    fn default() -> Self {
        Self::everyone_is(Scope::built_in())
    }
}

/// What is known of the other end of a call's connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Origin<'a> {
    address: Option<Address>,
    /// Who its client certificate names.
    peer: Option<&'a Peer>,
}

impl<'a> Origin<'a> {
    pub(super) fn of(extensions: &'a Extensions) -> Self {
        Self { address: extensions.get().copied(), peer: extensions.get() }
    }
}

#[cfg(test)]
mod tests;
