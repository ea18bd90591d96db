-- What happened, counted by hours, days and months of UTC. Written by the role "analytics" alone, which may have a database of its own: nothing
-- here is joined with another schema.
--
-- One transaction folds a batch: gates, sums, next offsets. Histograms are hdrhistogram's V2 form, of milliseconds with 2 significant digits.

CREATE SCHEMA analytics;

-- Sets of numbers. Exactly one is live; a rebuild fills a second one from the history, which then takes its place. Records of the topics are
-- folded into both. Whoever folds into a generation holds its row.
CREATE TABLE analytics.generations (
    generation    integer     PRIMARY KEY,
    state         smallint    NOT NULL, -- 1 building, 2 live
    start_time    timestamptz NOT NULL DEFAULT now(),
    cursor        uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000', -- while building: the last order that was folded
    folded_orders bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX generations_live ON analytics.generations (state);
INSERT INTO analytics.generations (generation, state) VALUES (1, 2);

-- The next record of each partition to fold.
CREATE TABLE analytics.offsets (
    topic       text        NOT NULL, -- without the prefix
    partition   integer     NOT NULL,
    topic_epoch bigint      NOT NULL, -- of the log that the offset belongs to
    next_offset bigint      NOT NULL,
    end_offset  bigint      NOT NULL, -- where the partition ended at the last look
    fold_time   timestamptz,          -- everything that was published to the partition before is counted
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

-- The last version of each order that is counted, for each topic: a repeated record counts once. Removed some days after the order's end, once
-- the order itself is gone (`comanda purge`): until then it may be published again.
CREATE TABLE analytics.gates (
    generation integer     NOT NULL,
    topic      smallint    NOT NULL, -- 1 order-transitions, 2 assignments
    order_id   uuid        NOT NULL,
    version    bigint      NOT NULL,
    end_time   timestamptz,          -- when the order ended; null while it has not, and with topic 2
    PRIMARY KEY (generation, topic, order_id)
) WITH (fillfactor = 70);
CREATE INDEX gates_ended ON analytics.gates (end_time, order_id) WHERE end_time IS NOT NULL;

-- Transitions. Each is counted three times, in its hour, its day and its month, so that no report reads the hours of a long time.
CREATE TABLE analytics.transitions (
    generation  integer     NOT NULL,
    tenant      text COLLATE "C" NOT NULL,
    span        smallint    NOT NULL, -- 1 hour, 2 day, 3 month
    span_time   timestamptz NOT NULL, -- its beginning
    workflow    text COLLATE "C" NOT NULL,
    from_status text COLLATE "C" NOT NULL, -- empty: created
    to_status   text COLLATE "C" NOT NULL,
    phase       smallint    NOT NULL, -- comanda.v1.Phase, of to_status; from_status has phase 1, ACTIVE
    trigger     smallint    NOT NULL, -- comanda.v1.Trigger
    currency    text COLLATE "C" NOT NULL,
    orders      bigint      NOT NULL,
    items       bigint      NOT NULL,
    total_units numeric     NOT NULL, -- sums of google.type.Money, each by itself
    total_nanos numeric     NOT NULL,
    dwell_us    numeric     NOT NULL, -- in from_status, summed
    dwell       bytea,                -- its histogram; null where created
    PRIMARY KEY (generation, tenant, span, span_time, workflow, from_status, to_status, phase, trigger, currency)
) WITH (fillfactor = 50);

-- What couriers did.
CREATE TABLE analytics.couriers (
    generation integer     NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    span       smallint    NOT NULL, -- as above
    span_time  timestamptz NOT NULL,
    workflow   text COLLATE "C" NOT NULL,
    courier_id text COLLATE "C" NOT NULL,
    offered    bigint      NOT NULL,
    refused    bigint      NOT NULL, -- declined or expired
    allotted   bigint      NOT NULL,
    released   bigint      NOT NULL, -- of the allotted
    picked_up  bigint      NOT NULL,
    on_time    bigint      NOT NULL, -- picked up at most 5 minutes after the promised time
    completed  bigint      NOT NULL,
    pickup_us  numeric     NOT NULL, -- from allotment to pickup, summed
    pickup     bytea,                -- its histogram; null where nothing was picked up
    idle_us    numeric     NOT NULL, -- without a job before jobs, summed
    busy_us    numeric     NOT NULL, -- from allotment to completion, summed
    PRIMARY KEY (generation, tenant, span, span_time, workflow, courier_id)
) WITH (fillfactor = 50);

-- One replica folds. As in the other schemas.
CREATE TABLE analytics.lease (
    id         boolean     PRIMARY KEY DEFAULT true CHECK (id),
    holder     uuid        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO analytics.lease (holder, epoch, expires_at)
VALUES ('00000000-0000-0000-0000-000000000000', 0, '-infinity');
CREATE TABLE analytics.dead_letters (
    topic            text        NOT NULL,
    topic_epoch      bigint      NOT NULL,
    partition        integer     NOT NULL,
    "offset"         bigint      NOT NULL,
    key              bytea       NOT NULL,
    payload          bytea       NOT NULL,
    reason           text        NOT NULL,
    dead_letter_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, topic_epoch, partition, "offset")
);
