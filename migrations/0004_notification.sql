-- The mail ledger. Written by the role "notification" alone.

CREATE SCHEMA notification;

-- One row per transition (copy 0), `suppressed` where no mail is due, so that a hole shows; further copies by request.
-- States are comanda.v1.MailState: 1 due, 2 claimed, 3 sending, 4 sent, 5 dead, 6 suppressed.
CREATE TABLE notification.mails (
    order_id      uuid        NOT NULL,
    version       bigint      NOT NULL,
    copy          integer     NOT NULL DEFAULT 0,
    status        text        NOT NULL, -- the order's status that the mail tells
    state         smallint    NOT NULL,
    attempts      integer     NOT NULL DEFAULT 0,
    next_try_time timestamptz NOT NULL DEFAULT now(),
    owner         uuid,                 -- of a claimed or sending mail
    last_reply    text        NOT NULL DEFAULT '',
    update_time   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, version, copy)
) WITH (fillfactor = 70);
CREATE INDEX mails_due   ON notification.mails (next_try_time) WHERE state = 1;
CREATE INDEX mails_taken ON notification.mails (owner) WHERE state IN (2, 3);

-- Senders that are alive. One row each, renewed every second: a mail's claim lasts as long as its owner's row.
CREATE TABLE notification.mail_owners (
    owner      uuid        PRIMARY KEY,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- As in schema state_machine.
CREATE TABLE notification.dead_letters (
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
