//! What a server knows of its rpcs, from their descriptors.

use std::{collections::HashSet, sync::LazyLock};

use prost::Message;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};

/// Everything that a server of Comanda offers: what reflection shows.
pub const DESCRIPTORS: [&[u8]; 4] = [
    comanda_proto::DESCRIPTORS,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// How each rpc is answered.
#[derive(Debug)]
pub struct Rpcs {
    streams: HashSet<String>,
    uploads: HashSet<String>,
}

/// The rpcs of [`DESCRIPTORS`].
pub fn ours() -> &'static Rpcs {
    static OURS: LazyLock<Rpcs> = LazyLock::new(|| Rpcs {
        streams: all(MethodDescriptorProto::server_streaming),
        uploads: all(|method| method.client_streaming() && !method.server_streaming()),
    });
    &OURS
}

impl Rpcs {
    /// Whether this rpc answers with a stream.
    pub fn is_stream(&self, path: &str) -> bool {
        self.streams.contains(path)
    }

    /// Whether this rpc takes a stream and gives one answer.
    pub fn is_upload(&self, path: &str) -> bool {
        self.uploads.contains(path)
    }
}

fn all(wanted: fn(&MethodDescriptorProto) -> bool) -> HashSet<String> {
    DESCRIPTORS.iter().flat_map(|bytes| paths(bytes, wanted)).collect()
}

/// The paths of the calls that are wanted.
fn paths(descriptors: &[u8], wanted: fn(&MethodDescriptorProto) -> bool) -> Vec<String> {
    let files = FileDescriptorSet::decode(descriptors).map(|set| set.file).unwrap_or_default();
    let mut paths = Vec::new();
    for file in &files {
        for service in &file.service {
            let methods = service.method.iter().filter(|method| wanted(method));
            paths.extend(methods.map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use comanda_proto::access::TABLE;

    use super::*;

    #[test]
    fn streams_are_known_by_the_descriptors() {
        for path in [
            "/comanda.v1.WatchService/WatchOrder",
            "/comanda.v1.WatchService/WatchOrders",
            "/grpc.health.v1.Health/Watch",
        ] {
            assert!(ours().is_stream(path), "{path}");
        }
        assert!(!ours().is_stream("/comanda.v1.OrderService/ListOrders"));
        assert_eq!(ours().uploads, HashSet::from(["/comanda.v1.DispatchService/StreamLocations".to_owned()]));
    }

    #[test]
    fn the_table_of_access_names_exactly_what_servers_offer() {
        let offered: BTreeSet<_> = all(|_| true).into_iter().collect();
        let ruled: BTreeSet<_> = TABLE.iter().map(|rule| rule.path.to_owned()).collect();
        assert_eq!(ruled, offered);
    }
}
