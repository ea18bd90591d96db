//! All SQL of the schema `access`. Roles read keys and note denials; [`operator`] is what commands do.

pub mod operator;

use std::time::SystemTime;

use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;

use super::{
    key::{self, Hash},
    principal::Principal,
    refusal::{Refusal, Why},
    scope::Scope,
};
use crate::postgres::{StoreError, bounded};

/// The schema.
pub const SCHEMA: &str = "access";

/// A key as it is stored.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct KeyRow {
    pub key_id: String,
    pub tenant: String,
    pub name: String,
    pub role: String,
    pub secret_hash: Vec<u8>,
    pub old_secret_hash: Option<Vec<u8>>,
    pub old_secret_expire_time: Option<OffsetDateTime>,
    pub create_time: OffsetDateTime,
    pub expire_time: Option<OffsetDateTime>,
    pub revoke_time: Option<OffsetDateTime>,
}

/// Something that happened, for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Entry {
    pub tenant: String,
    pub subject: String,
    pub action: String,
    pub detail: String,
    pub count: i64,
}

/// The columns of [`KeyRow`].
macro_rules! key_columns {
    () => {
        "key_id, tenant, name, role, secret_hash, old_secret_hash, old_secret_expire_time, create_time, expire_time, revoke_time"
    };
}
use key_columns;

impl KeyRow {
    /// Who shows a secret with this hash, if it is one of this key that is good now.
    pub fn judge(&self, hash: &Hash, now: SystemTime) -> Result<Principal, Refusal> {
        let scope = self.scope().ok_or(Refusal::of(Why::Invalid))?;
        let old = self.old_secret_hash.as_deref().zip(self.old_secret_expire_time);
        let (is_new, is_old) =
            (key::is_same(&self.secret_hash, hash), old.is_some_and(|(old, _)| key::is_same(old, hash)));
        if !(is_new || is_old) || self.revoke_time.is_some() {
            return Err(Refusal::to(scope, Why::Invalid));
        }
        let of_secret = old.map(|(_, expires)| expires).filter(|_| !is_new);
        let expires = [self.expire_time, of_secret].into_iter().flatten().min().map(SystemTime::from);
        match expires {
            Some(expires) if expires <= now => Err(Refusal::to(scope, Why::Expired)),
            _ => Ok(Principal { scope, expires, is_revocable: true }),
        }
    }

    /// `None` for a role that this version does not know.
    fn scope(&self) -> Option<Scope> {
        Some(Scope::new(&self.tenant, &self.name, self.role.parse().ok()?))
    }
}

/// Keys with these ids, as far as there are such.
pub async fn keys(pool: &PgPool, key_ids: &[String]) -> Result<Vec<KeyRow>, StoreError> {
    let statement = sqlx::query_as(concat!(
        "SELECT k.* FROM unnest($1::text[]) AS wanted (key_id)
         CROSS JOIN LATERAL (SELECT ",
        key_columns!(),
        " FROM keys WHERE key_id = wanted.key_id LIMIT 1) k"
    ));
    bounded(statement.bind(key_ids).fetch_all(pool)).await
}

/// Adds to the audit.
pub async fn note(pool: &PgPool, entries: &[Entry]) -> Result<(), StoreError> {
    let column = |of: fn(&Entry) -> &String| entries.iter().map(|entry| of(entry).clone()).collect::<Vec<_>>();
    let counts: Vec<_> = entries.iter().map(|entry| entry.count).collect();
    let statement = sqlx::query(
        "INSERT INTO audit (tenant, subject, action, detail, count)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])",
    )
    .bind(column(|entry| &entry.tenant))
    .bind(column(|entry| &entry.subject))
    .bind(column(|entry| &entry.action))
    .bind(column(|entry| &entry.detail))
    .bind(counts);
    bounded(statement.execute(pool)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use comanda_proto::access::Role;
    use time::Duration as Span;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW + seconds)
    }

    fn row(new: &Hash) -> KeyRow {
        KeyRow {
            key_id: "id".into(),
            tenant: "acme".into(),
            name: "pos-1".into(),
            role: "staff".into(),
            secret_hash: new.to_vec(),
            old_secret_hash: None,
            old_secret_expire_time: None,
            create_time: OffsetDateTime::UNIX_EPOCH,
            expire_time: None,
            revoke_time: None,
        }
    }

    fn later(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(NOW as i64).expect("in range") + Span::seconds(seconds)
    }

    fn outcome(row: &KeyRow, hash: &Hash, now: SystemTime) -> Result<Option<SystemTime>, Why> {
        match row.judge(hash, now) {
            Ok(principal) => {
                assert_eq!(principal.scope, Scope::new("acme", "pos-1", Role::Staff));
                Ok(principal.expires)
            }
            Err(Refusal::Denied { why, .. }) => Err(why),
            Err(Refusal::Failed(error)) => panic!("{error:?}"),
        }
    }

    #[test]
    fn a_key_is_good_until_it_expires_or_is_revoked() {
        let (good, other) = ([1; 32], [2; 32]);
        let row = row(&good);
        assert_eq!(outcome(&row, &good, at(0)), Ok(None));
        assert_eq!(outcome(&row, &other, at(0)), Err(Why::Invalid));
        let expiring = KeyRow { expire_time: Some(later(60)), ..row.clone() };
        assert_eq!(outcome(&expiring, &good, at(59)), Ok(Some(at(60))));
        assert_eq!(outcome(&expiring, &good, at(60)), Err(Why::Expired));
        assert_eq!(
            outcome(&expiring, &other, at(60)),
            Err(Why::Invalid),
            "who guesses is not told that there is a key"
        );
        let revoked = KeyRow { revoke_time: Some(later(0)), ..expiring };
        assert_eq!(outcome(&revoked, &good, at(60)), Err(Why::Invalid));
        let unknown_role = KeyRow { role: "emperor".into(), ..row };
        assert_eq!(outcome(&unknown_role, &good, at(0)), Err(Why::Invalid));
    }

    #[test]
    fn while_a_key_is_rolled_both_its_secrets_are_good() {
        let (new, old) = ([1; 32], [2; 32]);
        let rolled =
            KeyRow { old_secret_hash: Some(old.to_vec()), old_secret_expire_time: Some(later(60)), ..row(&new) };
        assert_eq!(outcome(&rolled, &new, at(59)), Ok(None));
        assert_eq!(outcome(&rolled, &old, at(59)), Ok(Some(at(60))));
        assert_eq!(outcome(&rolled, &new, at(60)), Ok(None));
        assert_eq!(outcome(&rolled, &old, at(60)), Err(Why::Expired));
    }
}
