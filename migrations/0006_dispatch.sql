-- Couriers, the orders that need one, and who has which. Written by the role "dispatch" alone.

CREATE SCHEMA dispatch;

-- Whether a courier is busy is not stored: it is what its open assignments say, so nothing can be left behind by a crash.
CREATE TABLE dispatch.couriers (
    tenant       text COLLATE "C" NOT NULL,
    courier_id   text COLLATE "C" NOT NULL,
    name         text        NOT NULL,
    vehicle      text        NOT NULL,
    plate        text        NOT NULL,
    vehicle_kind text        NOT NULL, -- empty: none in particular
    zone         text        NOT NULL, -- empty: any
    capacity     integer     NOT NULL CHECK (capacity BETWEEN 1 AND 20),
    max_load     integer     NOT NULL,
    status       smallint    NOT NULL, -- comanda.v1.CourierStatus
    shift_end    timestamptz,
    idle_since   timestamptz,          -- since when it is available without a job; null otherwise. For reports alone: nothing is decided by it
    revision     bigint      NOT NULL DEFAULT 1, -- rises with each change that the courier is shown
    update_time  timestamptz NOT NULL DEFAULT now(), -- of what is registered, and of the status
    PRIMARY KEY (tenant, courier_id)
) WITH (fillfactor = 70);

-- Those who take jobs.
CREATE INDEX couriers_available ON dispatch.couriers (tenant, courier_id) WHERE status = 2;

-- Where each courier was last, written in batches every 15 seconds: what a new leader begins with. No second index.
CREATE TABLE dispatch.positions (
    tenant        text COLLATE "C" NOT NULL,
    courier_id    text COLLATE "C" NOT NULL,
    latitude      double precision NOT NULL, -- degrees, WGS 84
    longitude     double precision NOT NULL,
    position_time timestamptz      NOT NULL,
    PRIMARY KEY (tenant, courier_id)
) WITH (fillfactor = 50);

-- Every order that has needed a courier. Where it is picked up is not here: the view ordering.order_trips says it.
-- States: 1 held (not_before has not come), 2 waiting, 3 taken (has an open assignment), 4 done (needs none any more).
CREATE TABLE dispatch.jobs (
    order_id          uuid        PRIMARY KEY,
    tenant            text COLLATE "C" NOT NULL,
    number            bigint      NOT NULL, -- the order's, for people
    workflow          text        NOT NULL,
    workflow_revision integer     NOT NULL,
    order_version     bigint      NOT NULL, -- the last one that was read from order-transitions
    order_status      text        NOT NULL,
    event_version     bigint      NOT NULL DEFAULT 0, -- the last one in dispatch.events; every change of the job compares and sets it
    state             smallint    NOT NULL,
    not_before        timestamptz NOT NULL, -- when a courier may be looked for
    waiting_since     timestamptz NOT NULL,
    attempts          integer     NOT NULL DEFAULT 0, -- assignments that were made
    declined          text[]      NOT NULL DEFAULT '{}', -- couriers that are not asked again
    step_version      bigint,               -- the last event with a step, while no version of the order has answered it; null: none
    step_expects      bigint,               -- the version of the order on which that step is to be taken; a higher one answers it
    step_time         timestamptz,          -- when it was asked for, last
    update_time       timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
-- The queue: what is held or waits.
CREATE INDEX jobs_open ON dispatch.jobs (not_before, order_id) WHERE state <= 2;
-- Steps that may have been lost.
CREATE INDEX jobs_unanswered ON dispatch.jobs (step_time, order_id) WHERE step_version IS NOT NULL;

-- Offers and allotments. The two unique indexes are the invariants: an order has one open assignment at most, and a courier one in each of
-- its slots, 1 to capacity.
CREATE TABLE dispatch.assignments (
    order_id              uuid        NOT NULL,
    attempt               integer     NOT NULL,
    tenant                text COLLATE "C" NOT NULL,
    courier_id            text COLLATE "C" NOT NULL,
    slot                  integer     NOT NULL CHECK (slot >= 1),
    state                 smallint    NOT NULL, -- comanda.v1.AssignmentState
    outcome               smallint    NOT NULL DEFAULT 0, -- comanda.v1.AssignmentOutcome
    offered_until         timestamptz,
    promised_pickup_time  timestamptz NOT NULL,
    expected_pickup_time  timestamptz,
    expected_dropoff_time timestamptz,
    create_time           timestamptz NOT NULL DEFAULT now(),
    allot_time            timestamptz,
    confirm_time          timestamptz, -- the order's status says so: from now on the courier sees the job
    arrive_time           timestamptz,
    pickup_time           timestamptz,
    delay_told_time       timestamptz, -- of the last event that told of a delay
    ended_at              timestamptz,
    PRIMARY KEY (order_id, attempt),
    CHECK ((ended_at IS NULL) = (outcome = 0)),
    CHECK ((ended_at IS NOT NULL) = (state = 3))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX assignments_open_by_order ON dispatch.assignments (order_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX assignments_open_by_slot ON dispatch.assignments (tenant, courier_id, slot) WHERE ended_at IS NULL;
CREATE INDEX assignments_offered ON dispatch.assignments (offered_until) WHERE state = 1;
CREATE INDEX assignments_by_time ON dispatch.assignments (tenant, create_time, order_id, attempt);
CREATE INDEX assignments_by_courier ON dispatch.assignments (tenant, courier_id, create_time, order_id, attempt);

-- Which AssignOrder made which assignment; kept 7 days.
CREATE TABLE dispatch.requests (
    tenant      text COLLATE "C" NOT NULL,
    request_id  uuid        NOT NULL,
    order_id    uuid        NOT NULL,
    courier_id  text        NOT NULL,
    attempt     integer     NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, request_id)
);
CREATE INDEX requests_by_time ON dispatch.requests (create_time);

-- Every event, dense by version: what the topic "comanda.assignments" is made from, and made from again when its log was lost.
CREATE TABLE dispatch.events (
    order_id   uuid        NOT NULL,
    version    bigint      NOT NULL,
    tenant     text COLLATE "C" NOT NULL,
    event_time timestamptz NOT NULL DEFAULT now(),
    content    bytea       NOT NULL, -- comanda.events.v1.AssignmentEvent without order_id, version, tenant and event_time
    PRIMARY KEY (order_id, version)
);

-- Outbox (pointers into dispatch.events), lease, topic and dead letters: as in schema state_machine.
CREATE TABLE dispatch.outbox (
    seq         bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    create_time timestamptz NOT NULL DEFAULT now(),
    order_ids   uuid[]      NOT NULL,
    versions    bigint[]    NOT NULL,
    CHECK (cardinality(order_ids) > 0 AND cardinality(versions) = cardinality(order_ids))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE dispatch.outbox ALTER COLUMN order_ids SET STORAGE EXTERNAL, ALTER COLUMN versions SET STORAGE EXTERNAL;
CREATE TABLE dispatch.lease (
    id         boolean     PRIMARY KEY DEFAULT true CHECK (id),
    holder     uuid        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO dispatch.lease (holder, epoch, expires_at)
VALUES ('00000000-0000-0000-0000-000000000000', 0, '-infinity');
CREATE TABLE dispatch.topic_log (
    id          boolean PRIMARY KEY DEFAULT true CHECK (id),
    topic_epoch bigint  NOT NULL
);
INSERT INTO dispatch.topic_log (topic_epoch) VALUES (1);
CREATE TABLE dispatch.topic_offsets (
    partition    integer PRIMARY KEY,
    acked_offset bigint  NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE dispatch.dead_letters (
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

-- What the others may read.

CREATE VIEW dispatch.log_epoch AS
SELECT topic_epoch FROM dispatch.topic_log;

-- Who has an order, for its mails, its watchers and the commands of couriers: the active assignment, without a position. Readers know from the order's status whether it
-- is confirmed: they may see that status before dispatch has.
CREATE VIEW dispatch.order_couriers AS
SELECT
    a.order_id, a.tenant, a.attempt, a.courier_id, c.name, c.vehicle, c.plate,
    a.promised_pickup_time, a.expected_pickup_time, a.expected_dropoff_time, a.confirm_time, a.pickup_time
FROM dispatch.assignments a
JOIN dispatch.couriers c ON c.tenant = a.tenant AND c.courier_id = a.courier_id
WHERE a.ended_at IS NULL AND a.state = 2;

-- Every event, as it is published: for counting anew.
CREATE VIEW dispatch.assignment_history AS
SELECT order_id, version, tenant, event_time, content
FROM dispatch.events;
