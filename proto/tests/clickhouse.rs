//! What `deploy/clickhouse` says of a record is what the record is.

use comanda_proto::DESCRIPTORS;
use prost::Message;
use prost_types::{FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

const SCHEMA: &str = include_str!("../../deploy/clickhouse/comanda.proto");

/// Type, name and number of the fields of a message of the schema.
fn fields(message: &str) -> Vec<(&str, &str, i32)> {
    let (_, rest) = SCHEMA.split_once(&format!("message {message} {{")).expect("the schema has the message");
    let (body, _) = rest.split_once('}').expect("it ends");
    let lines = body.lines().filter_map(|line| line.trim().strip_suffix(';')?.split_once(" = "));
    let parsed = lines.map(|(field, number)| {
        let (kind, name) = field.split_once(' ').expect("type and name");
        (kind, name, number.parse().expect("a number"))
    });
    parsed.collect()
}

fn of_record(message: &str, package: &str) -> Vec<FieldDescriptorProto> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).expect("the descriptors");
    let files = set.file.into_iter().filter(|file| file.package() == package);
    let found = files.flat_map(|file| file.message_type).find(|found| found.name() == message);
    found.expect("there is such a message").field
}

/// How a type stands in the schema: an enum as its number.
fn kind(field: &FieldDescriptorProto) -> &str {
    match field.r#type() {
        Type::String => "string",
        Type::Int64 => "int64",
        Type::Int32 | Type::Enum => "int32",
        Type::Message => field.type_name().rsplit('.').next().unwrap_or_default(),
        _ => "another",
    }
}

#[test]
fn the_fields_that_clickhouse_reads_have_the_names_numbers_and_types_of_the_record() {
    let messages =
        [("OrderTransition", "comanda.events.v1"), ("Money", "google.type"), ("Timestamp", "google.protobuf")];
    for (message, package) in messages {
        let record = of_record(message, package);
        let fields = fields(message);
        assert!(!fields.is_empty(), "{message}");
        for (expected, name, number) in fields {
            let field = record.iter().find(|field| field.number() == number);
            let field = field.unwrap_or_else(|| panic!("{message} has no field {number}"));
            assert_eq!((field.name(), kind(field)), (name, expected), "{message}");
        }
    }
}
