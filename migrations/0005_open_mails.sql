-- A mail on its way took three new entries in indexes for each of its steps, since every step changes `state`, which both partial
-- indexes named: 4.6 kB of WAL for the four mails of an order. An open mail is one with a next try; taking and sending it
-- changes no column that an index knows, so those steps stay on their page (heap-only tuples).

ALTER TABLE notification.mails ALTER COLUMN next_try_time DROP NOT NULL;
ALTER TABLE notification.mails SET (fillfactor = 50);
-- 4 sent, 5 dead, 6 suppressed: no further try.
UPDATE notification.mails SET next_try_time = NULL WHERE state IN (4, 5, 6);
DROP INDEX notification.mails_due;
DROP INDEX notification.mails_taken;
CREATE INDEX mails_open ON notification.mails (next_try_time) WHERE next_try_time IS NOT NULL;
