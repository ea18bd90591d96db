-- Every transition, once: what is read from the topic ends here. Records may come again (a fault, `comanda republish`, ClickHouse's own consumer,
-- see ClickHouse#6661): rows of the same order and version replace each other when parts are merged, and FINAL does it when they are read.

CREATE DATABASE IF NOT EXISTS comanda;

CREATE TABLE IF NOT EXISTS comanda.transitions
(
    tenant          LowCardinality(String),
    order_id        UUID,
    version         UInt64,
    number          UInt64,
    workflow        LowCardinality(String),
    from_status     LowCardinality(String), -- empty: created
    to_status       LowCardinality(String),
    phase           UInt8,                  -- 1 active, 2 succeeded, 3 cancelled, 4 rejected, 5 failed
    trigger         UInt8,                  -- 1 create, 2 timer, 3 advance, 4 cancel, 5 reject
    transition_time DateTime64(6, 'UTC'),
    from_time       Nullable(DateTime64(6, 'UTC')), -- when from_status was entered
    currency        LowCardinality(String),
    total           Decimal(38, 9),
    item_count      UInt32
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(transition_time)
ORDER BY (order_id, version);
