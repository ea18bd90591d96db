-- The state of every order, its history, and the timers. Written by the role "state-machine" alone.

CREATE SCHEMA state_machine;

-- Workflows, as immutable revisions: an order pins one, so an edited file does not change orders under way.
CREATE TABLE state_machine.workflows (
    name       text    NOT NULL,
    revision   integer NOT NULL,
    definition bytea   NOT NULL, -- comanda.v1.Workflow without name and revision
    PRIMARY KEY (name, revision)
);

-- The revision that new orders get, and who chose it last. A revision that is shipped never replaces the choice of a file or an operator.
CREATE TABLE state_machine.current_workflows (
    name        text        PRIMARY KEY,
    revision    integer     NOT NULL,
    chosen_by   text        NOT NULL, -- 'shipped', 'file' or 'operator'
    choose_time timestamptz NOT NULL DEFAULT now(),
    changes     bigint      NOT NULL DEFAULT 0, -- how often another revision was chosen
    FOREIGN KEY (name, revision) REFERENCES state_machine.workflows
);

-- The hot row: one update per transition, so it carries nothing that does not change and no index but the key and the
-- timers. due_at is null when the order has ended, infinity where its status has no timer: the partial index holds
-- exactly the active orders.
CREATE TABLE state_machine.states (
    order_id          uuid        PRIMARY KEY,
    tenant            text COLLATE "C" NOT NULL,
    workflow          text        NOT NULL,
    workflow_revision integer     NOT NULL,
    version           bigint      NOT NULL,
    status            text        NOT NULL,
    phase             smallint    NOT NULL, -- comanda.v1.Phase
    status_time       timestamptz NOT NULL,
    due_at            timestamptz
) WITH (fillfactor = 70);
CREATE INDEX states_due ON state_machine.states (due_at) WHERE due_at IS NOT NULL;

-- Every transition, dense by version.
CREATE TABLE state_machine.transitions (
    order_id        uuid        NOT NULL,
    version         bigint      NOT NULL,
    tenant          text COLLATE "C" NOT NULL,
    from_status     text        NOT NULL,
    from_time       timestamptz,          -- when from_status was entered; null in version 1
    to_status       text        NOT NULL,
    phase           smallint    NOT NULL, -- comanda.v1.Phase
    transition_time timestamptz NOT NULL,
    trigger         smallint    NOT NULL, -- comanda.v1.Trigger
    actor           text        NOT NULL,
    reason          text        NOT NULL,
    request_id      uuid,                 -- of the command that made it
    due_at          timestamptz,
    PRIMARY KEY (order_id, version)
);

-- Commands that were answered OK, by request id: a repetition gets the same answer, and another command with the same id is refused.
CREATE TABLE state_machine.requests (
    order_id     uuid     NOT NULL,
    request_id   uuid     NOT NULL,
    trigger      smallint NOT NULL, -- comanda.v1.Trigger: which command it was
    asked_status text     NOT NULL, -- its to_status; empty where it named none
    version      bigint   NOT NULL, -- of the transition that it was answered with
    PRIMARY KEY (order_id, request_id)
);

-- Outbox, lease and topic: as in schema ordering.
CREATE TABLE state_machine.outbox (
    order_id uuid   NOT NULL,
    version  bigint NOT NULL,
    PRIMARY KEY (order_id, version)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE TABLE state_machine.lease (
    id         boolean     PRIMARY KEY DEFAULT true CHECK (id),
    holder     uuid        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO state_machine.lease (holder, epoch, expires_at)
VALUES ('00000000-0000-0000-0000-000000000000', 0, '-infinity');
CREATE TABLE state_machine.topic_log (
    id          boolean PRIMARY KEY DEFAULT true CHECK (id),
    topic_epoch bigint  NOT NULL
);
INSERT INTO state_machine.topic_log (topic_epoch) VALUES (1);
CREATE TABLE state_machine.topic_offsets (
    partition    integer PRIMARY KEY,
    acked_offset bigint  NOT NULL
) WITH (fillfactor = 50);

-- Records that could be neither decoded nor looked up by their key. An operator lists, retries or drops them.
CREATE TABLE state_machine.dead_letters (
    topic       text        NOT NULL,
    topic_epoch bigint      NOT NULL,
    partition   integer     NOT NULL,
    "offset"    bigint      NOT NULL,
    key         bytea       NOT NULL,
    payload     bytea       NOT NULL,
    reason      text        NOT NULL,
    dead_letter_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, topic_epoch, partition, "offset")
);
