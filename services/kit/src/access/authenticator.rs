//! Finds out who calls.

use std::{sync::Arc, time::SystemTime};

use comanda_proto::access::Role;
use tonic::codegen::http::HeaderMap;

use super::{
    actor::is_actor,
    credential::Credential,
    key,
    key_cache::KeyCache,
    oidc::Oidc,
    principal::Principal,
    refusal::{Refusal, Why},
    scope::Scope,
};
use crate::{
    tls::Peer,
    tracking::{self, Keys},
};

/// Which credentials are taken.
#[derive(Clone, Debug)]
pub struct Authenticator {
    /// Who calls without credentials; `None` where nobody may.
    caller: Option<Scope>,
    tracking: Option<Arc<Keys>>,
    keys: Option<Arc<KeyCache>>,
    oidc: Option<Arc<Oidc>>,
    /// The tenant of who shows a client certificate and nothing else; `None` where that is not enough.
    certificates: Option<Arc<str>>,
}

impl Authenticator {
    /// Everyone who shows no credentials is `caller`.
    pub fn open(caller: Scope) -> Self {
        Self { caller: Some(caller), tracking: None, keys: None, oidc: None, certificates: None }
    }

    /// Nobody gets in without credentials: API keys, and tokens of a provider if there is one.
    pub fn required(keys: Arc<KeyCache>, oidc: Option<Arc<Oidc>>) -> Self {
        Self { caller: None, tracking: None, keys: Some(keys), oidc, certificates: None }
    }

    /// Takes the tracking tokens of these keys as well.
    #[must_use]
    pub fn with_tracking(self, tracking: Option<Arc<Keys>>) -> Self {
        Self { tracking, ..self }
    }

    /// Takes client certificates for those of the tenant's services.
    #[must_use]
    pub fn with_certificates(self, tenant: Option<&str>) -> Self {
        Self { certificates: tenant.map(Into::into), ..self }
    }

    /// Whose call this is. `peer` is who the certificate of its connection names; credentials count more.
    pub async fn authenticate(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Principal, Refusal> {
        match Credential::of(headers).map_err(Refusal::of)? {
            Credential::Tracking(token) => self.tracker(token),
            Credential::None | Credential::Other => match &self.caller {
                Some(caller) => Ok(Principal::built_in(caller.clone())),
                None => self.service(peer),
            },
            // Taking them unseen would give a wrong key everything.
            Credential::Key(_) | Credential::Jwt(_) if self.caller.is_some() => Err(Refusal::of(Why::NotTaken)),
            Credential::Key(key) => self.holder(key).await,
            Credential::Jwt(token) => match &self.oidc {
                Some(oidc) => oidc.verify(token).await,
                None => Err(Refusal::of(Why::Invalid)),
            },
        }
    }

    fn service(&self, peer: Option<&Peer>) -> Result<Principal, Refusal> {
        let (Some(tenant), Some(peer)) = (&self.certificates, peer) else { return Err(Refusal::of(Why::Missing)) };
        let name = peer.names().first().filter(|name| is_actor(name)).ok_or(Refusal::of(Why::Invalid))?;
        // A connection may outlive the certificate that it began with.
        if peer.expires() <= SystemTime::now() {
            return Err(Refusal::of(Why::Expired));
        }
        let scope = Scope::new(tenant, name, Role::Service);
        Ok(Principal { scope, expires: Some(peer.expires()), is_revocable: false })
    }

    fn tracker(&self, token: &str) -> Result<Principal, Refusal> {
        let keys = self.tracking.as_ref().ok_or(Refusal::of(Why::Invalid))?;
        let claims = keys.verify(token, SystemTime::now()).map_err(|refused| match refused {
            tracking::Refused::Invalid => Refusal::of(Why::Invalid),
            tracking::Refused::Expired => Refusal::of(Why::Expired),
        })?;
        Ok(Principal { scope: Scope::tracker(&claims), expires: Some(claims.expires), is_revocable: false })
    }

    async fn holder(&self, shown: &str) -> Result<Principal, Refusal> {
        let shown = key::read(shown).ok_or(Refusal::of(Why::Invalid))?;
        let keys = self.keys.as_ref().ok_or(Refusal::of(Why::Invalid))?;
        let row = keys.find(shown.key_id).await.map_err(Refusal::Failed)?;
        row.ok_or(Refusal::of(Why::Invalid))?.judge(&shown.hash, SystemTime::now())
    }
}
