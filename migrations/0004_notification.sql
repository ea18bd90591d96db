-- The mail ledger. Written by the role "notification" alone.

CREATE SCHEMA notification;

-- One row per transition (copy 0), `suppressed` where no mail is sent, so that a gap shows; further copies by request.
-- States are comanda.v1.MailState: 1 due, 3 sending, 4 sent, 5 dead, 6 suppressed.
--
-- An open mail is one with a next_try_time, an undelivered one (dead or too old, and without a further copy) one with an undelivered_time.
-- Taking and sending a mail changes no column that an index knows, so those steps stay on their page (heap-only tuples).
CREATE TABLE notification.mails (
    order_id         uuid        NOT NULL,
    version          bigint      NOT NULL,
    copy             integer     NOT NULL DEFAULT 0,
    tenant           text COLLATE "C" NOT NULL,
    status           text        NOT NULL, -- the order's status that the mail reports
    transition_time  timestamptz NOT NULL, -- when the order entered that status
    state            smallint    NOT NULL,
    attempts         integer     NOT NULL DEFAULT 0,
    next_try_time    timestamptz DEFAULT now(),
    undelivered_time timestamptz,
    owner            uuid,                 -- of a sending mail
    last_reply       text        NOT NULL DEFAULT '',
    update_time      timestamptz NOT NULL DEFAULT now(),
    request_id       uuid,                 -- of the call that made this copy
    PRIMARY KEY (order_id, version, copy)
) WITH (fillfactor = 50);
CREATE INDEX mails_open ON notification.mails (next_try_time) WHERE next_try_time IS NOT NULL;
CREATE INDEX mails_undelivered ON notification.mails (tenant, undelivered_time, order_id, version, copy) WHERE undelivered_time IS NOT NULL;
CREATE UNIQUE INDEX mails_by_request ON notification.mails (tenant, request_id) WHERE request_id IS NOT NULL;

-- Owners of sending mails that are alive. One row each, renewed every second: a mail is theirs for as long as their row lasts.
CREATE TABLE notification.mail_owners (
    owner      uuid        PRIMARY KEY,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- As in schema state_machine.
CREATE TABLE notification.dead_letters (
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
