//! Keys of tenants, made and revoked by the program's own commands, as an operator does.

use anyhow::{Context, Result};

use super::{endpoints::Tenant, start::Cluster};

/// A key beside those of the owners.
#[derive(Debug)]
pub struct Key {
    name: String,
    /// Who shows it calls for this tenant.
    pub tenant: Tenant,
}

impl Cluster {
    /// The tenants, each with a key of its owner.
    pub(super) async fn make_keys(&self) -> Result<Vec<Tenant>> {
        let mut tenants = self.endpoints.tenants.clone();
        for tenant in &mut tenants {
            let printed = self.read("access", &["init", "--tenant", &tenant.name]).await?;
            tenant.key = Some(printed.trim().to_owned());
        }
        Ok(tenants)
    }

    /// A new key of the first tenant.
    pub async fn make_key(&self, name: &str) -> Result<Key> {
        let Tenant { name: tenant, .. } = self.endpoints.tenants.first().context("there is a tenant")?;
        let arguments = ["create", "--tenant", tenant, "--role", "owner", "--name", name];
        let key = Some(self.read("key", &arguments).await?.trim().to_owned());
        Ok(Key { name: name.to_owned(), tenant: Tenant { name: tenant.clone(), key } })
    }

    /// Revokes it.
    pub async fn revoke_key(&self, key: &Key) -> Result<()> {
        self.read("key", &["revoke", "--tenant", &key.tenant.name, &key.name]).await.map(drop)
    }
}
