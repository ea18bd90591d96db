//! Sets of numbers: the live one, and one that a rebuild makes.

use comanda_kit::postgres::{StoreError, bounded};
use sqlx::{Executor, FromRow, Postgres, postgres::PgArguments, query::QueryScalar};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, unit::Unit};

/// How many rows of an old generation are removed with one statement.
const CHUNK: i64 = 5000;

/// A generation that is being built.
#[derive(Clone, Copy, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Generation {
    pub generation: i32,
    pub start_time: OffsetDateTime,
    /// The last order that was folded.
    pub cursor: Uuid,
    pub folded_orders: i64,
}

impl Store {
    /// The live generation.
    pub async fn live_generation(&self) -> Result<i32, StoreError> {
        let statement = "SELECT generation FROM generations WHERE state = 2";
        bounded(sqlx::query_scalar(statement).fetch_one(&self.numbers)).await
    }

    /// The generation that is being built, if one is.
    pub async fn building(&self) -> Result<Option<Generation>, StoreError> {
        let statement = "SELECT generation, start_time, cursor, folded_orders FROM generations WHERE state = 1";
        bounded(sqlx::query_as(statement).fetch_optional(&self.numbers)).await
    }

    /// Begins a generation. From now on records are counted into it, too.
    pub async fn begin_generation(&self) -> Result<(), StoreError> {
        let statement = "INSERT INTO generations (generation, state) SELECT max(generation) + 1, 1 FROM generations";
        bounded(sqlx::query(statement).execute(&self.numbers)).await.map(drop)
    }

    /// Gives up the generation that is being built.
    pub async fn give_up_generation(&self) -> Result<(), StoreError> {
        bounded(sqlx::query("DELETE FROM generations WHERE state = 1").execute(&self.numbers)).await.map(drop)
    }

    /// Puts the built generation in the place of the live one, unless orders that were counted are missing in it. Neither is counted into meanwhile.
    /// Returns how many are missing.
    pub async fn switch(&self, generation: i32, may_miss: bool) -> Result<i64, StoreError> {
        let mut connection = self.folding.take().await?;
        bounded(connection.execute("BEGIN")).await?;
        bounded(connection.execute("SELECT FROM generations ORDER BY generation FOR UPDATE")).await?;
        let missing = bounded(missing(generation).fetch_one(&mut *connection)).await?;
        if missing == 0 || may_miss {
            bounded(connection.execute("DELETE FROM generations WHERE state = 2")).await?;
            let statement = sqlx::query("UPDATE generations SET state = 2 WHERE generation = $1").bind(generation);
            bounded(statement.execute(&mut *connection)).await?;
        }
        let committed = bounded(connection.execute("COMMIT")).await.map(drop);
        connection.end(committed)?;
        Ok(missing)
    }

    /// Removes what is left of other generations: a part of it. False where nothing is.
    pub async fn remove_old(&self) -> Result<bool, StoreError> {
        let mut removed = 0;
        for statement in [
            "DELETE FROM gates WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM gates WHERE generation < $1 UNION ALL SELECT ctid FROM gates WHERE generation > $2
                 LIMIT $3))",
            "DELETE FROM transitions WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM transitions WHERE generation < $1 UNION ALL SELECT ctid FROM transitions WHERE generation > $2
                 LIMIT $3))",
            "DELETE FROM couriers WHERE ctid = ANY (ARRAY(
                 SELECT ctid FROM couriers WHERE generation < $1 UNION ALL SELECT ctid FROM couriers WHERE generation > $2
                 LIMIT $3))",
        ] {
            let (least, most) = self.bounds().await?;
            let statement = sqlx::query(statement).bind(least).bind(most).bind(CHUNK);
            removed += bounded(statement.execute(&self.numbers)).await?.rows_affected();
        }
        Ok(removed > 0)
    }

    async fn bounds(&self) -> Result<(i32, i32), StoreError> {
        let statement = "SELECT min(generation), max(generation) FROM generations";
        bounded(sqlx::query_as(statement).fetch_one(&self.numbers)).await
    }
}

/// How many orders the live generation has counted as created and the other one has not.
fn missing(generation: i32) -> QueryScalar<'static, Postgres, i64, PgArguments> {
    sqlx::query_scalar(
        "SELECT coalesce(sum(greatest(x.live - x.built, 0)), 0)::bigint
         FROM (
             SELECT coalesce(sum(t.orders) FILTER (WHERE t.generation <> $1), 0) AS live,
                    coalesce(sum(t.orders) FILTER (WHERE t.generation = $1), 0) AS built
             FROM generations g
             JOIN transitions t ON t.generation = g.generation AND t.span = 3 AND t.from_status = ''
             GROUP BY t.tenant, t.span_time, t.workflow
         ) x",
    )
    .bind(generation)
}

impl Unit {
    /// Notes how far the history is folded.
    pub async fn move_cursor(&mut self, generation: i32, cursor: Uuid, orders: i64) -> Result<(), StoreError> {
        let statement =
            sqlx::query("UPDATE generations SET cursor = $2, folded_orders = folded_orders + $3 WHERE generation = $1");
        bounded(statement.bind(generation).bind(cursor).bind(orders).execute(self.connection())).await.map(drop)
    }
}
