//! Ports of this machine for servers that are started more than once.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
};

use anyhow::{Context, Result};

/// Below those that the kernel gives to outgoing connections: one of them could otherwise sit on a server's port while it is away.
const RANGE: Range<u16> = 10_000..32_000;

/// Gives out ports, none twice.
#[derive(Debug)]
pub struct Ports {
    next: u16,
}

impl Default for Ports {
    /// Trials that run at the same time begin at different places.
    fn default() -> Self {
        let place = std::process::id().wrapping_mul(97) % u32::from(RANGE.end - RANGE.start);
        Self { next: RANGE.start + place as u16 }
    }
}

impl Ports {
    /// An address on which nobody listens.
    pub fn free(&mut self) -> Result<SocketAddr> {
        for _ in RANGE {
            let port = self.next;
            self.next = if port + 1 < RANGE.end { port + 1 } else { RANGE.start };
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                return Ok(listener.local_addr()?);
            }
        }
        None.context("no free port between 10000 and 32000; stop some servers")
    }
}
