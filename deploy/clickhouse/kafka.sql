-- Reads the topic. Set the brokers. comanda.proto must be in the server's format_schema_path (by default /var/lib/clickhouse/format_schemas/).

CREATE TABLE IF NOT EXISTS comanda.transition_records
(
    order_id        String,
    version         Int64,
    number          Int64,
    workflow        String,
    from_status     String,
    to_status       String,
    phase           Int32,
    transition_time Tuple(seconds Int64, nanos Int32),
    trigger         Int32,
    tenant          String,
    from_time       Tuple(seconds Int64, nanos Int32),
    total           Tuple(currency_code String, units Int64, nanos Int32),
    item_count      Int32
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '127.0.0.1:9092',
         kafka_topic_list = 'comanda.order-transitions',
         kafka_group_name = 'clickhouse-comanda',
         kafka_format = 'ProtobufSingle',
         kafka_schema = 'comanda:OrderTransition',
         kafka_handle_error_mode = 'stream';
