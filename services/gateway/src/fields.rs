//! Fields of messages by their path: `order.order_id`.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// The field of a path of names as the protos have them.
pub fn of_path(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    match path.split_once('.') {
        None => message.get_field_by_name(path),
        Some((first, rest)) => of_path(&inner(&message.get_field_by_name(first)?)?, rest),
    }
}

/// The field that JSON and queries call so: by its JSON name or by its name in the protos.
pub fn named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// The message that a field holds, where it holds one.
pub fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && !field.is_map() => Some(message),
        _ => None,
    }
}

/// The value of a path.
pub fn value<'a>(message: &'a DynamicMessage, path: &str) -> Option<Cow<'a, Value>> {
    let Some((first, rest)) = path.split_once('.') else { return message.get_field_by_name(path) };
    match message.get_field_by_name(first)? {
        Cow::Borrowed(Value::Message(inner)) => value(inner, rest),
        _ => None,
    }
}

/// The value of a path as text in a path or header; `None` where it is not there, or no text or number.
pub fn text(message: &DynamicMessage, path: &str) -> Option<String> {
    match value(message, path)?.as_ref() {
        Value::String(text) => Some(text.clone()),
        Value::I64(number) => Some(number.to_string()),
        Value::I32(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Sets the value of a path, and makes the messages on the way.
pub fn set(message: &mut DynamicMessage, path: &str, value: Value) {
    match path.split_once('.') {
        None => message.set_field_by_name(path, value),
        Some((first, rest)) => {
            if let Some(Value::Message(inner)) = message.get_field_by_name_mut(first) {
                set(inner, rest, value);
            }
        }
    }
}

/// The names in braces of a template.
pub fn in_braces(template: &str) -> Vec<&str> {
    template.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
}

/// A template with its names in braces replaced.
pub fn fill(template: &str, mut value_of: impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut filled = String::new();
    let mut parts = template.split('{');
    filled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once('}')?;
        filled.push_str(&value_of(name)?);
        filled.push_str(rest);
    }
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn a_path_is_set_and_read() {
        let request = Schema::new().message("comanda.v1.RegisterCourierRequest").expect("there");
        let mut message = DynamicMessage::new(request);
        assert_eq!(text(&message, "courier.courier_id"), None);
        set(&mut message, "courier.courier_id", Value::String("maria".into()));
        assert_eq!(text(&message, "courier.courier_id").as_deref(), Some("maria"));
    }

    #[test]
    fn a_template_is_filled() {
        let template = "/v1/orders/{order.order_id}/mails/{version}";
        assert_eq!(in_braces(template), ["order.order_id", "version"]);
        let filled = fill(template, |name| Some(name.len().to_string()));
        assert_eq!(filled.as_deref(), Some("/v1/orders/14/mails/7"));
        assert_eq!(fill(template, |_| None), None);
    }
}
