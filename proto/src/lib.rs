//! Everything of Comanda that crosses a process boundary, and nothing else: the gRPC messages and services, the
//! Kafka topics, and the database views that one service publishes for the others.

pub mod access;
#[cfg(test)]
mod asyncapi;
pub mod errors;
pub mod frame;
pub mod mail;
pub mod topics;
pub mod views;

/// The generated code, nested as the packages are.
#[allow(missing_docs, clippy::all)]
mod generated {
    pub mod comanda {
        pub mod v1 {
            tonic::include_proto!("comanda.v1");
        }
        pub mod events {
            pub mod v1 {
                tonic::include_proto!("comanda.events.v1");
            }
        }
    }
    pub mod google {
        pub mod r#type {
            tonic::include_proto!("google.r#type");
        }
    }
    pub mod frames {
        include!(concat!(env!("OUT_DIR"), "/comanda.v1.WatchService.rs"));
    }
}

/// The package `comanda.events.v1`: what is on Kafka, generated from `comanda/events/v1/*.proto`.
pub use generated::comanda::events::v1 as events;
/// The package `comanda.v1`: messages, clients and servers, generated from `comanda/v1/*.proto`, where every field and
/// call is documented.
pub use generated::comanda::v1;
pub use generated::google::r#type::{LatLng, Money};

/// The descriptors of every message and service, comments and error details included: for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/comanda.binpb"));
