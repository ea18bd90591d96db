//! A server that answers by a script, and a client of it as the command line makes one.

use std::sync::Arc;

pub use comanda_client::testing::{Fake, Script, Step};

use super::{Client, ClientArgs, connect::tests::servers};

/// Serves on a free port until the test ends, to a client with these flags.
pub async fn serve(fake: Fake, flags: &[&str]) -> (Arc<Fake>, Client) {
    let (fake, address) = fake.serve().await;
    let servers = servers(&[&["--addr", &address.to_string()], flags].concat());
    let args = ClientArgs { json: true, token: Default::default(), servers };
    (fake, args.try_into().expect("no token to read"))
}
