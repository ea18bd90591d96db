//! Ports of this machine for servers that are started more than once.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    sync::{LazyLock, Mutex},
};

use anyhow::{Context, Result};

/// Below those that the kernel gives to outgoing connections: one of them could otherwise sit on a server's port while it is away.
const RANGE: Range<u16> = 10_000..32_000;

/// The port that is tried next, of all clusters of this process. Trials that run at the same time begin at different places.
static NEXT: LazyLock<Mutex<u16>> = LazyLock::new(|| {
    let place = std::process::id().wrapping_mul(97) % u32::from(RANGE.end - RANGE.start);
    Mutex::new(RANGE.start + place as u16)
});

/// An address on which nobody listens; no address is given out twice until all were.
pub fn free() -> Result<SocketAddr> {
    let mut next = NEXT.lock().expect("no holder panics");
    for _ in RANGE {
        let port = *next;
        *next = if port + 1 < RANGE.end { port + 1 } else { RANGE.start };
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(listener.local_addr()?);
        }
    }
    None.context("no free port between 10000 and 32000; stop some servers")
}
