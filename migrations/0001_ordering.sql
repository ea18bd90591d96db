-- Orders as they were placed, and what the ordering service needs to publish each exactly as it stands.
-- Written by the role "ordering" alone. Others read the views at the end of 0003.

CREATE SCHEMA ordering;

-- What people call an order: counted for each tenant, so that a number reveals nothing of other tenants. The row stays locked until the
-- orders are committed, so the orders of a tenant become visible in the order of their numbers and times.
CREATE TABLE ordering.numbers (
    tenant           text COLLATE "C" PRIMARY KEY,
    last_number      bigint      NOT NULL,
    last_create_time timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Immutable but for erasing a person's data. order_id is a UUIDv7, so the table can be partitioned by time one day;
-- for the same reason no key but the primary one is unique.
CREATE TABLE ordering.orders (
    order_id          uuid        PRIMARY KEY,
    tenant            text COLLATE "C" NOT NULL,
    number            bigint      NOT NULL,
    customer_id       text COLLATE "C" NOT NULL,
    customer_name     text        NOT NULL,
    email             text        NOT NULL,
    locale            text        NOT NULL,
    content           bytea       NOT NULL, -- comanda.v1.Order holding items, total and labels
    currency          text        NOT NULL, -- of the total, as ISO 4217 writes it
    total_units       bigint      NOT NULL, -- as google.type.Money has them
    total_nanos       integer     NOT NULL,
    item_count        integer     NOT NULL,
    workflow          text        NOT NULL,
    workflow_revision integer     NOT NULL,
    first_status      text        NOT NULL, -- version 1 of the order is a function of this row
    create_time       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_by_number   ON ordering.orders (tenant, number);
CREATE INDEX orders_by_time     ON ordering.orders (tenant, create_time, order_id);
CREATE INDEX orders_by_customer ON ordering.orders (tenant, customer_id, create_time, order_id);

-- Which request created which order; kept 7 days.
CREATE TABLE ordering.requests (
    tenant      text COLLATE "C" NOT NULL,
    request_id  uuid        NOT NULL,
    hash        bytea       NOT NULL, -- SHA-256 of the request without its id
    order_id    uuid        NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, request_id)
);
CREATE INDEX requests_by_time ON ordering.requests (create_time);

-- Pointers to what is not yet published. Written by the statement that writes the row, deleted after Kafka's ack. The
-- lowest version of an order is the next to go out: there is no cursor that a late commit could be skipped by.
CREATE TABLE ordering.outbox (
    order_id uuid   NOT NULL,
    version  bigint NOT NULL,
    PRIMARY KEY (order_id, version)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- One leader at a time runs the relay. `epoch` rises with each change of leader; every write of a leader names it.
CREATE TABLE ordering.lease (
    id         boolean     PRIMARY KEY DEFAULT true CHECK (id),
    holder     uuid        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO ordering.lease (holder, epoch, expires_at)
VALUES ('00000000-0000-0000-0000-000000000000', 0, '-infinity');

-- How far the service's topic has been acknowledged, to notice a log that was lost. `topic_epoch` rises when it was.
CREATE TABLE ordering.topic_log (
    id          boolean PRIMARY KEY DEFAULT true CHECK (id),
    topic_epoch bigint  NOT NULL
);
INSERT INTO ordering.topic_log (topic_epoch) VALUES (1);
CREATE TABLE ordering.topic_offsets (
    partition    integer PRIMARY KEY,
    acked_offset bigint  NOT NULL
) WITH (fillfactor = 50);
