//! Further settings of librdkafka, from a text that can carry any value.

use std::{fmt, fs, path::Path, str::FromStr};

use rdkafka::{ClientConfig, error::KafkaError, types::RDKafkaConfRes};
use serde_json::{Map, Value};

/// Settings that librdkafka accepts one by one. Values may be secrets: no message and no debug output shows them.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// From a file of the same text as the variable.
    pub fn read(file: &str) -> Result<Self, String> {
        let text = fs::read_to_string(Path::new(file)).map_err(|error| format!("cannot read it: {error}"))?;
        text.parse()
    }

    /// Key and value, in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl FromStr for Settings {
    type Err = String;

    /// A JSON object, or one key=value a line.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('{') { from_json(text) } else { from_lines(text) }.map(Self)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

fn from_json(text: &str) -> Result<Vec<(String, String)>, String> {
    let invalid =
        |error: serde_json::Error| format!("invalid JSON at line {}, column {}", error.line(), error.column());
    let object: Map<String, Value> = serde_json::from_str(text).map_err(invalid)?;
    object.into_iter().map(|(key, value)| from_member(key, value)).collect()
}

fn from_member(key: String, value: Value) -> Result<(String, String), String> {
    let value = match value {
        Value::String(text) => text,
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err(format!("{key:?}: must be a text, a number or a boolean")),
    };
    check(&key, &value).map_err(|problem| format!("{key:?}: {problem}"))?;
    Ok((key, value))
}

fn from_lines(text: &str) -> Result<Vec<(String, String)>, String> {
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', '!']));
    // A line may be part of a secret, so that only its number is shown.
    lines.map(|(index, line)| from_line(line).map_err(|problem| format!("line {}: {problem}", index + 1))).collect()
}

fn from_line(line: &str) -> Result<(String, String), String> {
    let (key, value) = line.split_once('=').ok_or("must look like key=value")?;
    let (key, value) = (key.trim(), value.trim());
    if value.split(',').skip(1).filter_map(|part| part.split_once('=')).any(|(key, _)| is_known(key.trim())) {
        return Err("has several settings; put each on a line of its own, or give a JSON object".into());
    }
    check(key, value)?;
    Ok((key.into(), value.into()))
}

/// Asks librdkafka, so that its own messages, which show values, have no cause later.
pub(super) fn check(key: &str, value: &str) -> Result<(), String> {
    match ClientConfig::new().set(key, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(error) if is_unknown(&error) => Err("librdkafka has no such setting".into()),
        Err(error) if error.to_string().contains("not supported in this build") => {
            Err(format!("this program was built without support for {key}"))
        }
        Err(_) => Err(format!("librdkafka does not accept this value of {key}")),
    }
}

fn is_known(key: &str) -> bool {
    !ClientConfig::new().set(key, "").create_native_config().is_err_and(|error| is_unknown(&error))
}

fn is_unknown(error: &KafkaError) -> bool {
    matches!(error, KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        text.parse::<Settings>().expect("valid").0
    }

    fn refused(text: &str) -> String {
        text.parse::<Settings>().expect_err("invalid")
    }

    proptest! {
        #[test]
        fn json_carries_every_value(password in "[^\0]{1,40}") {
            let text = serde_json::json!({"sasl.password": password, "sasl.username": "shop"}).to_string();
            prop_assert_eq!(&pairs(&text)[0], &("sasl.password".to_owned(), password));
        }

        #[test]
        fn no_message_shows_a_value(secret in "[a-z]{4}[0-9]{4},?[a-z]{0,6}=?", other in "[,=#{}\n\"]{0,3}") {
            for text in [
                format!("sasl.password={other}{secret},retries={secret}"),
                format!("session.timeout.ms={secret}"),
                format!("{{\"session.timeout.ms\": \"{secret}\"}}"),
                format!("{{\"sasl.password\": [\"{secret}\"]}}"),
                format!("{{\"sasl.password\": {secret}}}"),
                format!("sasl.password=x\n{secret}{other}"),
            ] {
                let shown = text.parse::<Settings>().map_or_else(|message| message, |settings| format!("{settings:?}"));
                prop_assert!(!shown.contains(&secret[..8]), "{shown}");
            }
        }
    }

    #[test]
    fn each_line_is_a_setting_whose_value_is_taken_whole() {
        let text = "# for the shop\r\nsasl.username = shop\n\nsasl.password=s3,cret=x#y\ndebug=broker,topic\n";
        let expected = [("sasl.username", "shop"), ("sasl.password", "s3,cret=x#y"), ("debug", "broker,topic")];
        assert_eq!(pairs(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(pairs("session.timeout.ms=6000").len(), 1);
    }

    #[test]
    fn json_may_have_numbers_and_booleans() {
        let text = r#" {"session.timeout.ms": 6000, "socket.keepalive.enable": true, "sasl.password": "a\nb"}"#;
        let values: Vec<_> = pairs(text).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["a\nb", "6000", "true"]);
    }

    #[test]
    fn what_librdkafka_does_not_accept_is_refused_at_once() {
        assert_eq!(refused("sasl.username=a\nsession.time=5"), "line 2: librdkafka has no such setting");
        assert_eq!(
            refused("session.timeout.ms=soon"),
            "line 1: librdkafka does not accept this value of session.timeout.ms"
        );
        assert_eq!(refused(r#"{"session.time": 5}"#), "\"session.time\": librdkafka has no such setting");
        assert_eq!(refused("acks"), "line 1: must look like key=value");
        assert_eq!(refused("{\"acks\": 1,}"), "invalid JSON at line 1, column 12");
    }

    #[test]
    fn several_settings_on_one_line_are_refused_before_one_takes_in_the_others() {
        assert!(refused("security.protocol=PLAINTEXT,acks=1").contains("each on a line of its own"));
        assert!(refused("sasl.username=shop, sasl.password=s3,cret=x").contains("line 1: has several settings"));
    }
}
