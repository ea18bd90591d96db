-- How a record becomes a row.

CREATE MATERIALIZED VIEW IF NOT EXISTS comanda.transitions_from_records TO comanda.transitions AS
SELECT
    r.tenant AS tenant,
    toUUIDOrZero(r.order_id) AS order_id,
    toUInt64(r.version) AS version,
    toUInt64(r.number) AS number,
    r.workflow AS workflow,
    r.from_status AS from_status,
    r.to_status AS to_status,
    toUInt8(r.phase) AS phase,
    toUInt8(r.trigger) AS trigger,
    fromUnixTimestamp64Micro(r.transition_time.seconds * 1000000 + intDiv(r.transition_time.nanos, 1000), 'UTC') AS transition_time,
    if(r.from_status = '', NULL, fromUnixTimestamp64Micro(r.from_time.seconds * 1000000 + intDiv(r.from_time.nanos, 1000), 'UTC'))
        AS from_time,
    r.total.currency_code AS currency,
    toDecimal128(r.total.units, 9) + toDecimal128(r.total.nanos, 9) / 1000000000 AS total,
    toUInt32(r.item_count) AS item_count
FROM comanda.transition_records AS r
-- A record that could not be decoded has no order.
WHERE r.order_id != '';
