//! Entering mails: as due, or as taken by an owner that sends them at once.

use std::time::Duration;

use comanda_kit::postgres::{StoreError, bounded};
use sqlx::{FromRow, Postgres, postgres::PgArguments, query::Query};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    super::row::{Claimed, NewMail},
    Store, code,
};

impl Store {
    /// Enters mails, sorted by key, dropping those that are known.
    pub async fn enter(&self, mails: &[NewMail]) -> Result<(), StoreError> {
        let columns = Columns::of(mails);
        let statement = || {
            columns.bound(
                "INSERT INTO mails (order_id, version, tenant, status, transition_time, state, next_try_time)
                 SELECT order_id, version, tenant, status, transition_time, state,
                        CASE WHEN state = 1 THEN greatest(now(), not_before) END
                 FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::smallint[], $7::timestamptz[])
                     AS w (order_id, version, tenant, status, transition_time, state, not_before)
                 ON CONFLICT DO NOTHING",
            )
        };
        self.dedicated.repeated(|mut c| async { (statement().execute(&mut *c).await, c) }).await?;
        Ok(())
    }

    /// Enters mails that may be sent at once, sorted by key, as taken by an owner, which counts as a try. Drops those that are known, and
    /// enters them as due where the owner is not alive. Returns those that the owner now has.
    pub async fn enter_taken(
        &self,
        mails: &[NewMail],
        owner: Uuid,
        max_age: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        let columns = Columns::of(mails);
        let statement = columns.bound(
            "WITH entered AS (
                 INSERT INTO mails (order_id, version, tenant, status, transition_time, state, attempts, owner, next_try_time)
                 SELECT w.order_id, w.version, w.tenant, w.status, w.transition_time,
                        CASE WHEN o.is_alive THEN 3 ELSE w.state END,
                        CASE WHEN o.is_alive THEN 1 ELSE 0 END,
                        CASE WHEN o.is_alive THEN $8::uuid END,
                        CASE WHEN NOT o.is_alive THEN greatest(now(), w.not_before) END
                 FROM (SELECT EXISTS (SELECT FROM mail_owners WHERE owner = $8 AND expires_at > now()) AS is_alive OFFSET 0) o
                 CROSS JOIN unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::smallint[], $7::timestamptz[])
                     AS w (order_id, version, tenant, status, transition_time, state, not_before)
                 ON CONFLICT DO NOTHING
                 RETURNING order_id, version, tenant, status, state, transition_time
             ), claimed AS (
                 INSERT INTO mail_claims (owner, order_ids, versions)
                 SELECT $8, array_agg(order_id), array_agg(version)
                 FROM entered
                 WHERE state = 3
                 HAVING count(*) > 0
                 RETURNING claim
             )
             SELECT e.order_id, e.version, 0 AS copy, e.status, 1 AS attempts, now() AS next_try_time, claimed.claim,
                    e.transition_time < now() - make_interval(secs => $9) AS is_too_old,
                    e.tenant, coalesce(c.number, 0) AS number, coalesce(c.customer_name, '') AS customer_name,
                    coalesce(c.email, '') AS email, coalesce(c.locale, '') AS locale, coalesce(c.content, '') AS content,
                    coalesce(c.workflow, '') AS workflow, coalesce(c.workflow_revision, 0) AS workflow_revision, c.traceparent
             FROM claimed
             CROSS JOIN entered e
             LEFT JOIN LATERAL (
                 SELECT o.number, o.customer_name, o.email, o.locale, o.content, o.workflow, o.workflow_revision, o.traceparent
                 FROM ordering.order_contacts o
                 WHERE o.order_id = e.order_id
                 LIMIT 1
             ) c ON true
             WHERE e.state = 3",
        );
        let statement = statement.bind(owner).bind(max_age.as_secs_f64());
        let mut connection = self.dedicated.take().await?;
        let rows = bounded(statement.fetch_all(&mut *connection)).await;
        let rows = connection.end(rows)?;
        Ok(rows.iter().map(Claimed::from_row).collect::<Result<_, _>>()?)
    }
}

/// Mails as the parameters 1 to 7 of a statement.
struct Columns<'m> {
    orders: Vec<Uuid>,
    versions: Vec<i64>,
    tenants: Vec<&'m str>,
    statuses: Vec<&'m str>,
    times: Vec<OffsetDateTime>,
    states: Vec<i16>,
    not_before: Vec<Option<OffsetDateTime>>,
}

impl<'m> Columns<'m> {
    fn of(mails: &'m [NewMail]) -> Self {
        Self {
            orders: mails.iter().map(|mail| mail.order_id).collect(),
            versions: mails.iter().map(|mail| mail.version).collect(),
            tenants: mails.iter().map(|mail| &*mail.tenant).collect(),
            statuses: mails.iter().map(|mail| &*mail.status).collect(),
            times: mails.iter().map(|mail| mail.transition_time).collect(),
            states: mails.iter().map(|mail| code(mail.state)).collect(),
            not_before: mails.iter().map(|mail| mail.not_before).collect(),
        }
    }

    fn bound<'q>(&'q self, statement: &'static str) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(statement)
            .bind(&self.orders)
            .bind(&self.versions)
            .bind(&self.tenants)
            .bind(&self.statuses)
            .bind(&self.times)
            .bind(&self.states)
            .bind(&self.not_before)
    }
}
