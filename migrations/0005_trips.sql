-- What dispatch needs to know of an order that somebody is to drive, and when such an order starts.
-- Written by the role "ordering" alone.

-- When the order is to start: the pickup time of its trip. Null where it starts at once.
ALTER TABLE ordering.orders ADD COLUMN start_time timestamptz;

-- Where an order with a trip is picked up, and where it goes. Addresses are not here: they are in ordering.orders.content, with the trip as it was
-- asked for. Erasing a person's data removes the row.
CREATE TABLE ordering.trips (
    order_id          uuid             PRIMARY KEY,
    tenant            text COLLATE "C" NOT NULL,
    pickup_latitude   double precision NOT NULL, -- degrees, WGS 84
    pickup_longitude  double precision NOT NULL,
    dropoff_latitude  double precision NOT NULL,
    dropoff_longitude double precision NOT NULL,
    load              integer          NOT NULL, -- in the caller's own unit
    vehicle_kind      text             NOT NULL, -- empty: any
    zone              text             NOT NULL  -- empty: any
);

-- The only way to read a trip from outside. No addresses, but coordinates of people: dispatch keeps them in memory alone, and nobody publishes
-- them or writes them into a log.
CREATE VIEW ordering.order_trips AS
SELECT
    t.order_id, t.tenant, t.pickup_latitude, t.pickup_longitude, t.dropoff_latitude, t.dropoff_longitude,
    t.load, t.vehicle_kind, t.zone, o.start_time
FROM ordering.trips t
JOIN ordering.orders o ON o.order_id = t.order_id;

-- What a courier is told to carry, and where to: comanda.v1.Order holding items, total, labels and trip.
CREATE VIEW ordering.order_contents AS
SELECT order_id, tenant, number, content
FROM ordering.orders;

CREATE OR REPLACE VIEW ordering.order_facts AS
SELECT
    order_id, tenant, number, customer_id, workflow, workflow_revision, first_status, create_time,
    currency, total_units, total_nanos, item_count, traceparent, start_time
FROM ordering.orders;
