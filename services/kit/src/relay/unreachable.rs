//! A log for tests that need no broker.

use super::log::Log;
use crate::kafka;

/// A log whose broker does not exist: nothing listens on port 1.
pub fn unreachable_log() -> Log {
    let config = kafka::Config {
        kafka_bootstrap_servers: "127.0.0.1:1".into(),
        topic_prefix: "test.".into(),
        fetch_wait_ms: kafka::DEFAULT_FETCH_WAIT_MS,
        outbox_cache_mib: kafka::DEFAULT_OUTBOX_CACHE_MIB,
        kafka_config: Vec::new(),
        kafka_config_file: None,
        security: kafka::Security::default(),
    };
    Log::new(config, "topic".into()).expect("a producer")
}
