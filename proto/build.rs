//! Compiles the protos without a system `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

use tonic_build::manual;

/// Roots of the compilation: our services, and the error details, so that reflection can name what errors carry.
const ROOTS: [&str; 9] = [
    "comanda/events/v1/order_events.proto",
    "comanda/events/v1/dispatch_events.proto",
    "comanda/v1/order_service.proto",
    "comanda/v1/lifecycle_service.proto",
    "comanda/v1/watch_service.proto",
    "comanda/v1/mail_service.proto",
    "comanda/v1/dispatch_service.proto",
    "comanda/v1/analytics_service.proto",
    "google/rpc/error_details.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=comanda");
    println!("cargo:rerun-if-changed=google");
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(ROOTS)?;
    let descriptors = compiler.file_descriptor_set();

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("comanda.binpb"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .extern_path(".google.rpc", "::tonic_types::pb")
        .btree_map(".")
        .bytes(".")
        .compile_fds(descriptors)?;
    watch_server();
    Ok(())
}

/// The server half of WatchService once more, answering with [`Frame`](src/frame.rs)s instead of messages, so that a
/// transition is encoded once for all its watchers and fields that this build does not know pass through untouched.
fn watch_server() {
    let method = |name: &str, route: &str| {
        manual::Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::v1::{route}Request"))
            .output_type("crate::frame::Frame")
            .codec_path("crate::frame::FrameCodec")
            .server_streaming()
            .build()
    };
    let service = manual::Service::builder()
        .name("WatchService")
        .package("comanda.v1")
        .method(method("watch_order", "WatchOrder"))
        .method(method("watch_orders", "WatchOrders"))
        .build();
    manual::Builder::new().build_client(false).compile(&[service]);
}
