-- What the services show each other: the only way to read another's data.

-- State of each order that the state machine has adopted.
CREATE VIEW state_machine.order_states AS
SELECT order_id, tenant, version, status, phase, status_time, due_at, nullif(due_at, 'infinity') AS next_transition_time
FROM state_machine.states;

CREATE VIEW state_machine.workflow_definitions AS
SELECT w.name, w.revision, w.definition, c.name IS NOT NULL AS current
FROM state_machine.workflows w
LEFT JOIN state_machine.current_workflows c ON c.name = w.name AND c.revision = w.revision;

CREATE VIEW state_machine.log_epoch AS
SELECT topic_epoch FROM state_machine.topic_log;

CREATE VIEW ordering.log_epoch AS
SELECT topic_epoch FROM ordering.topic_log;

-- What never changes of an order, without anything about the person.
CREATE VIEW ordering.order_facts AS
SELECT
    order_id, tenant, number, customer_id, workflow, workflow_revision, first_status, create_time,
    currency, total_units, total_nanos, item_count, traceparent
FROM ordering.orders;

-- Whom to write to, about what.
CREATE VIEW ordering.order_contacts AS
SELECT order_id, tenant, number, customer_name, email, locale, content, workflow, workflow_revision, traceparent
FROM ordering.orders;

-- An order as it is now. Before it is adopted its state is version 1, a function of its own row (phase 1 = ACTIVE).
CREATE VIEW ordering.order_details AS
SELECT
    o.order_id, o.tenant, o.number, o.customer_id, o.customer_name, o.email, o.locale, o.content,
    o.workflow, o.workflow_revision, o.create_time,
    coalesce(s.status, o.first_status) AS status,
    coalesce(s.phase, 1::smallint) AS phase,
    coalesce(s.version, 1) AS version,
    coalesce(s.status_time, o.create_time) AS status_time,
    s.next_transition_time
FROM ordering.orders o
LEFT JOIN state_machine.order_states s ON s.order_id = o.order_id;

-- Every transition of every order. Version 1 shows from the order's first moment (trigger 1 = CREATE).
CREATE VIEW state_machine.order_history AS
SELECT
    t.order_id, t.version, t.tenant, f.number, f.customer_id, f.workflow, f.workflow_revision,
    t.from_status, t.from_time, t.to_status, t.phase, t.transition_time, t.trigger, t.actor, t.reason,
    nullif(t.due_at, 'infinity') AS next_transition_time,
    f.currency, f.total_units, f.total_nanos, f.item_count, f.traceparent
FROM state_machine.transitions t
JOIN ordering.order_facts f ON f.order_id = t.order_id
UNION ALL
SELECT
    f.order_id, 1::bigint, f.tenant, f.number, f.customer_id, f.workflow, f.workflow_revision,
    '', NULL, f.first_status, 1::smallint, f.create_time, 1::smallint, 'system:ordering', '',
    NULL,
    f.currency, f.total_units, f.total_nanos, f.item_count, f.traceparent
FROM ordering.order_facts f
WHERE NOT EXISTS (SELECT FROM state_machine.transitions t WHERE t.order_id = f.order_id AND t.version = 1);
