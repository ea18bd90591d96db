-- Who may call, and what was done about it. Written by the operator's commands alone (`comanda access`, `comanda key`), but for denials, which
-- each role notes in the audit. Read by every role that takes calls.

CREATE SCHEMA access;

-- API keys. A key is cmd_ID_SECRET; of the secret only its SHA-256 is here. While a key is rolled, its old secret is good for some time more, so
-- a key has at most two.
CREATE TABLE access.keys (
    key_id                 text COLLATE "C" PRIMARY KEY,
    tenant                 text COLLATE "C" NOT NULL,
    name                   text COLLATE "C" NOT NULL, -- who calls: the actor in the history; of a customer its customer_id, of a courier its courier_id
    role                   text COLLATE "C" NOT NULL,
    secret_hash            bytea       NOT NULL CHECK (octet_length(secret_hash) = 32),
    old_secret_hash        bytea       CHECK (octet_length(old_secret_hash) = 32),
    old_secret_expire_time timestamptz,
    create_time            timestamptz NOT NULL DEFAULT now(),
    expire_time            timestamptz, -- null: never
    revoke_time            timestamptz, -- null: not revoked
    CHECK ((old_secret_hash IS NULL) = (old_secret_expire_time IS NULL))
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX keys_by_name ON access.keys (tenant, name) WHERE revoke_time IS NULL;
CREATE INDEX keys_by_tenant ON access.keys (tenant, key_id);

-- What was done with keys, and which calls were denied. Rows are only ever added.
CREATE TABLE access.audit (
    audit_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    audit_time timestamptz NOT NULL DEFAULT now(),
    tenant     text COLLATE "C" NOT NULL, -- empty: nobody knows
    subject    text        NOT NULL,      -- who did it, or was denied; empty: nobody knows
    action     text        NOT NULL,      -- key-create, key-roll, key-revoke, denied
    detail     text        NOT NULL,
    count      bigint      NOT NULL       -- how often, in the minute before
);
CREATE INDEX audit_by_tenant ON access.audit (tenant, audit_id);

CREATE FUNCTION access.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of access.audit are only ever added';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access.audit
    FOR EACH STATEMENT EXECUTE FUNCTION access.refuse_change();
