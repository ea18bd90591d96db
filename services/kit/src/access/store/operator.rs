//! What an operator does with keys. Each change and its entry in the audit are one statement.

use std::time::Duration;

use anyhow::Result;
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;

use super::{KeyRow, SCHEMA, key_columns};
use crate::{
    access::key::Hash,
    postgres::{self, StoreError, bounded},
};

/// Access for one command.
pub struct Operator {
    pool: PgPool,
    /// Who runs the command, for the audit.
    subject: String,
}

/// What a new key is.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct NewKey {
    pub key_id: String,
    pub tenant: String,
    pub name: String,
    pub role: &'static str,
    pub secret_hash: Hash,
    /// How long it is good; `None`: until it is revoked.
    pub lifetime: Option<Duration>,
    /// Do nothing if the tenant has a key of this role that is good.
    pub only_first: bool,
}

/// A row of the audit.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Audited {
    pub audit_id: i64,
    pub audit_time: OffsetDateTime,
    pub tenant: String,
    pub subject: String,
    pub action: String,
    pub detail: String,
    pub count: i64,
}

/// A key that is neither revoked nor expired.
macro_rules! is_good {
    () => {
        "revoke_time IS NULL AND (expire_time IS NULL OR expire_time > now())"
    };
}

impl Operator {
    /// Connects to the database. `subject` is who runs the command.
    pub fn connect(config: &postgres::Config, subject: &str) -> Result<Self> {
        let config = postgres::Config { database_connections: 1, ..config.clone() };
        Ok(Self { pool: postgres::operator_pool(&config, SCHEMA)?, subject: subject.to_owned() })
    }

    /// Stores a key. False if the tenant has a key of that name, or of that role where it must be the first.
    pub async fn create(&self, new: &NewKey) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar(concat!(
            "WITH made AS (
                 INSERT INTO keys (key_id, tenant, name, role, secret_hash, expire_time)
                 SELECT $1, $2, $3, $4, $5, now() + make_interval(secs => $6)
                 WHERE NOT ($7 AND EXISTS (SELECT FROM keys WHERE tenant = $2 AND role = $4 AND ",
            is_good!(),
            "))
                 ON CONFLICT DO NOTHING
                 RETURNING tenant, key_id, name, role, expire_time
             ), noted AS (
                 INSERT INTO audit (tenant, subject, action, detail, count)
                 SELECT tenant, $8, 'key-create', format('%s %s %s, expires %s', key_id, role, name, coalesce(expire_time::text, 'never')), 1
                 FROM made
             )
             SELECT count(*) > 0 FROM made"
        ))
        .bind(&new.key_id)
        .bind(&new.tenant)
        .bind(&new.name)
        .bind(new.role)
        .bind(new.secret_hash.as_slice())
        .bind(new.lifetime.map(|lifetime| lifetime.as_secs_f64()))
        .bind(new.only_first)
        .bind(&self.subject);
        bounded(statement.fetch_one(&self.pool)).await
    }

    /// The keys of a tenant, or of all, by tenant and id, after one of them.
    pub async fn list(&self, tenant: Option<&str>, after: (&str, &str), limit: i64) -> Result<Vec<KeyRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            key_columns!(),
            " FROM keys WHERE ($1::text IS NULL OR tenant = $1) AND (tenant, key_id) > ($2, $3) ORDER BY tenant, key_id LIMIT $4"
        ))
        .bind(tenant)
        .bind(after.0)
        .bind(after.1)
        .bind(limit);
        bounded(statement.fetch_all(&self.pool)).await
    }

    /// The key of a tenant with this id, or this name if it is not revoked.
    pub async fn find(&self, tenant: &str, id_or_name: &str) -> Result<Option<KeyRow>, StoreError> {
        let statement = sqlx::query_as(concat!(
            "SELECT ",
            key_columns!(),
            " FROM keys WHERE tenant = $1 AND (key_id = $2 OR name = $2 AND revoke_time IS NULL) LIMIT 1"
        ));
        bounded(statement.bind(tenant).bind(id_or_name).fetch_optional(&self.pool)).await
    }

    /// Revokes a key. False if it is revoked already.
    pub async fn revoke(&self, key_id: &str) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar(
            "WITH revoked AS (
                 UPDATE keys SET revoke_time = now() WHERE key_id = $1 AND revoke_time IS NULL RETURNING tenant, key_id, role, name
             ), noted AS (
                 INSERT INTO audit (tenant, subject, action, detail, count)
                 SELECT tenant, $2, 'key-revoke', format('%s %s %s', key_id, role, name), 1 FROM revoked
             )
             SELECT count(*) > 0 FROM revoked",
        );
        bounded(statement.bind(key_id).bind(&self.subject).fetch_one(&self.pool)).await
    }

    /// Gives a key a new secret; the old one is good for `overlap` more. False if the key is not good, or has two secrets that are.
    pub async fn roll(&self, key_id: &str, secret_hash: &Hash, overlap: Duration) -> Result<bool, StoreError> {
        let statement = sqlx::query_scalar(concat!(
            "WITH rolled AS (
                 UPDATE keys
                 SET secret_hash = $2, old_secret_hash = secret_hash, old_secret_expire_time = now() + make_interval(secs => $3)
                 WHERE key_id = $1 AND ",
            is_good!(),
            "          AND (old_secret_expire_time IS NULL OR old_secret_expire_time <= now())
                 RETURNING tenant, key_id, role, name, old_secret_expire_time
             ), noted AS (
                 INSERT INTO audit (tenant, subject, action, detail, count)
                 SELECT tenant, $4, 'key-roll', format('%s %s %s, the old secret expires %s', key_id, role, name, old_secret_expire_time), 1
                 FROM rolled
             )
             SELECT count(*) > 0 FROM rolled"
        ))
        .bind(key_id)
        .bind(secret_hash.as_slice())
        .bind(overlap.as_secs_f64())
        .bind(&self.subject);
        bounded(statement.fetch_one(&self.pool)).await
    }

    /// The audit of a tenant, or of all, newest first.
    pub async fn audit(&self, tenant: Option<&str>, limit: i64) -> Result<Vec<Audited>, StoreError> {
        let statement = sqlx::query_as(
            "SELECT audit_id, audit_time, tenant, subject, action, detail, count
             FROM audit WHERE $1::text IS NULL OR tenant = $1 ORDER BY audit_id DESC LIMIT $2",
        );
        bounded(statement.bind(tenant).bind(limit).fetch_all(&self.pool)).await
    }
}
