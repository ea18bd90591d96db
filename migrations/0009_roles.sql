-- Who may do what. One role for each service: it may write its own schema, and read of the others' only what stands below. Nobody logs in as
-- such a role: the account of a service is a member of it, and the service takes it on in each connection. Roles belong to the whole Postgres
-- server, so databases of Comanda on one server share them.

DO $$
DECLARE
    service text;
    role    text;
    relay   text;
BEGIN
    FOREACH service IN ARRAY ARRAY['ordering', 'state_machine', 'notification', 'dispatch', 'analytics'] LOOP
        role := 'comanda_' || service;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION
                -- Another database of the same server was migrated at the same time.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
        -- The migrating account also stores the shipped workflows, as the state machine.
        IF NOT pg_has_role(current_user, role, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', role);
        END IF;
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', service, role);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', service, role);
        EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', service, role);
        -- Also what later migrations make.
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO %I', service, role);
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE, SELECT ON SEQUENCES TO %I', service, role);
        -- Each start compares the version of the schema.
        EXECUTE format('GRANT SELECT ON public._sqlx_migrations TO %I', role);
    END LOOP;

    -- A relay vacuums its outbox. Before version 17 only the owner of a table may, and Postgres skips it for others without an error.
    FOREACH relay IN ARRAY ARRAY['ordering', 'state_machine', 'dispatch'] LOOP
        role := 'comanda_' || relay;
        IF current_setting('server_version_num')::integer >= 170000 THEN
            EXECUTE format('GRANT MAINTAIN ON %I.outbox TO %I', relay, role);
        ELSE
            EXECUTE format('GRANT CREATE ON SCHEMA %I TO %I', relay, role);
            EXECUTE format('ALTER TABLE %I.outbox OWNER TO %I', relay, role);
            EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM %I', relay, role);
        END IF;
    END LOOP;
END
$$;

-- What the services show each other (views of 0003, 0005 and 0006). The state machine sees neither names nor addresses.
GRANT USAGE ON SCHEMA ordering TO comanda_state_machine, comanda_notification, comanda_dispatch, comanda_analytics;
GRANT USAGE ON SCHEMA state_machine TO comanda_ordering, comanda_notification, comanda_dispatch, comanda_analytics;
GRANT USAGE ON SCHEMA dispatch TO comanda_state_machine, comanda_notification, comanda_analytics;

GRANT SELECT ON state_machine.workflow_definitions TO comanda_ordering, comanda_notification, comanda_dispatch, comanda_analytics;
GRANT SELECT ON state_machine.order_states TO comanda_ordering, comanda_notification, comanda_dispatch;
GRANT SELECT ON state_machine.order_history TO comanda_notification, comanda_analytics;
GRANT SELECT ON state_machine.log_epoch TO comanda_notification, comanda_dispatch, comanda_analytics;

GRANT SELECT ON ordering.order_facts TO comanda_state_machine, comanda_notification, comanda_dispatch, comanda_analytics;
GRANT SELECT ON ordering.log_epoch TO comanda_state_machine;
GRANT SELECT ON ordering.order_details, ordering.order_contacts TO comanda_notification;
GRANT SELECT ON ordering.order_trips, ordering.order_contents TO comanda_dispatch;

GRANT SELECT ON dispatch.log_epoch TO comanda_state_machine, comanda_analytics;
GRANT SELECT ON dispatch.order_couriers TO comanda_notification;
-- Whose an order is, and neither name nor plate of the courier.
GRANT SELECT (order_id, tenant, courier_id) ON dispatch.order_couriers TO comanda_state_machine;
GRANT SELECT ON dispatch.assignment_history TO comanda_analytics;

-- Services read keys and record denials as a separate role, which every service may assume with SET ROLE. It cannot change keys: only the operator's
-- commands do, with the rights of the account that migrates.
DO $$
DECLARE
    service text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'comanda_access') THEN
        BEGIN
            CREATE ROLE comanda_access NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END IF;
    FOREACH service IN ARRAY ARRAY['ordering', 'state_machine', 'notification', 'dispatch', 'analytics'] LOOP
        IF NOT pg_has_role('comanda_' || service, 'comanda_access', 'MEMBER') THEN
            BEGIN
                EXECUTE format('GRANT comanda_access TO %I', 'comanda_' || service);
            EXCEPTION
                -- Another database of the same server was migrated at the same time.
                WHEN unique_violation OR internal_error THEN NULL;
            END;
        END IF;
    END LOOP;
END
$$;
GRANT USAGE ON SCHEMA access TO comanda_access;
GRANT SELECT ON access.keys TO comanda_access;
GRANT INSERT ON access.audit TO comanda_access;
GRANT SELECT ON public._sqlx_migrations TO comanda_access;
