//! The parts of statements that write pointers. An outbox row holds 80 pointers at most: so it stays just below the size from which Postgres
//! would store its arrays elsewhere.

/// Inserts rows that point at `order_id` and `version` of a query, each order at most once, behind all others.
///
/// A number is drawn when the changes of the row's orders are made, so their rows are locked. The version before was committed by then, and
/// the row that points at it has a lower number.
#[macro_export]
macro_rules! point_at {
    ($query:literal) => {
        concat!(
            "INSERT INTO outbox (order_ids, versions)
             SELECT array_agg(order_id), array_agg(version)
             FROM (SELECT order_id, version, (row_number() OVER () - 1) / 80 AS part FROM (",
            $query,
            ") q) p
             GROUP BY part"
        )
    };
}

/// Inserts rows that point at `order_id` and `version` of a query again, lower versions first, in front of all others: so an order's later
/// pointers are behind those that are put back, and a new log tells of its versions from the first one on. `$outbox` is the name of
/// the table, with its schema where that is not the connection's own.
#[macro_export]
macro_rules! put_back {
    ($outbox:literal, $query:literal) => {
        concat!(
            "INSERT INTO ",
            $outbox,
            " (seq, order_ids, versions)
             SELECT -nextval(pg_get_serial_sequence('",
            $outbox,
            "', 'seq')), order_ids, versions
             FROM (
                 SELECT array_agg(order_id ORDER BY place) AS order_ids, array_agg(version ORDER BY place) AS versions
                 FROM (
                     SELECT order_id, version, row_number() OVER (ORDER BY version, order_id) AS place FROM (",
            $query,
            ") q
                 ) p
                 GROUP BY (place - 1) / 80
                 ORDER BY (place - 1) / 80 DESC
             ) r"
        )
    };
}
