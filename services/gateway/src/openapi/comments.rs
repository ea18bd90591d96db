//! The comments of the protos.

use prost_reflect::{
    EnumDescriptor, EnumValueDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor, ServiceDescriptor,
    prost_types::FileDescriptorProto,
};

/// Of an rpc.
pub fn of_method(method: &MethodDescriptor) -> String {
    at(method.parent_service().parent_file().file_descriptor_proto(), method.path())
}

/// Of a service.
pub fn of_service(service: &ServiceDescriptor) -> String {
    at(service.parent_file().file_descriptor_proto(), service.path())
}

/// Of a message.
pub fn of_message(message: &MessageDescriptor) -> String {
    at(message.parent_file().file_descriptor_proto(), message.path())
}

/// Of a field.
pub fn of_field(field: &FieldDescriptor) -> String {
    at(field.parent_file().file_descriptor_proto(), field.path())
}

/// Of an enum.
pub fn of_enum(values: &EnumDescriptor) -> String {
    at(values.parent_file().file_descriptor_proto(), values.path())
}

/// Of a value of an enum.
pub fn of_value(value: &EnumValueDescriptor) -> String {
    at(value.parent_enum().parent_file().file_descriptor_proto(), value.path())
}

/// Lines of one paragraph become one line.
fn at(file: &FileDescriptorProto, path: &[i32]) -> String {
    let info = file.source_code_info.iter().flat_map(|info| &info.location);
    let mut found = info.filter(|location| location.path == path);
    let text = found.find_map(|location| location.leading_comments.clone()).unwrap_or_default();
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines = paragraph.lines().map(str::trim);
        lines.fold(String::new(), |text, line| match line {
            _ if text.is_empty() => line.to_owned(),
            // A list keeps its lines.
            _ if line.starts_with("* ") || line.starts_with(|first: char| first.is_ascii_digit()) => {
                format!("{text}\n{line}")
            }
            _ => format!("{text} {line}"),
        })
    });
    paragraphs.collect::<Vec<_>>().join("\n\n").trim().to_owned()
}
