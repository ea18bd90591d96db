//! A connection on which anything can be sent.

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout, timeout_at},
};

use super::frames::{self, GOAWAY, PING, RST_STREAM};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FRAME_HEADER_BYTES: usize = 9;

/// A connection.
pub struct Wire(TcpStream);

/// What came back until the connection ended, or until nobody waited any longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many frames of each kind.
    pub frames: BTreeMap<u8, usize>,
    /// The error code of the last GOAWAY, RFC 9113, section 7.
    pub goaway: Option<u32>,
    /// How many streams were ended with each error code.
    pub resets: BTreeMap<u32, usize>,
    /// Whether the server ended the connection.
    pub closed: bool,
    /// What the last PING held.
    last_ping: [u8; 8],
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        Ok(Self(connecting.context("no connection in time")?.with_context(|| format!("cannot connect to {address}"))?))
    }

    /// Connects with so small a buffer that what is not read soon stays with the sender.
    pub async fn connect_narrow(address: SocketAddr) -> Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_recv_buffer_size(4096)?;
        Ok(Self(timeout(CONNECT_TIMEOUT, socket.connect(address)).await.context("no connection in time")??))
    }

    /// Sends; false where the server has ended the connection, or takes nothing for as long as this.
    pub async fn send(&mut self, bytes: &[u8], patience: Duration) -> bool {
        matches!(timeout(patience, self.0.write_all(bytes)).await, Ok(Ok(())))
    }

    /// Sends and, at the same time, reads what comes; both until `limit`, or the connection ends.
    pub async fn send_and_read(self, mut next: impl FnMut(u64) -> Option<Vec<u8>>, limit: Duration) -> Answers {
        let deadline = Instant::now() + limit;
        let (reading, mut writing) = self.0.into_split();
        let sending = async {
            let mut round = 0;
            // A write that never has to wait never looks at the time.
            while Instant::now() < deadline
                && let Some(bytes) = next(round)
                && matches!(timeout_at(deadline, writing.write_all(&bytes)).await, Ok(Ok(())))
            {
                round += 1;
            }
        };
        let (answers, ()) = tokio::join!(read(reading, deadline), sending);
        answers
    }

    /// Reads what comes until `limit`, or the connection ends.
    pub async fn read(self, limit: Duration) -> Answers {
        self.send_and_read(|_| None, limit).await
    }

    /// Answers pings and takes everything else without a word, for as long as the connection lasts or `limit`. What is not asked for by a
    /// larger window does not come: a peer that lives and reads nothing.
    pub async fn answer_pings(self, limit: Duration) -> Answers {
        let deadline = Instant::now() + limit;
        let (mut reading, mut writing) = self.0.into_split();
        let (mut answers, mut bytes, mut buffer) = (Answers::default(), Vec::new(), vec![0; 4096]);
        while let Ok(read) = timeout_at(deadline, reading.read(&mut buffer)).await {
            match read {
                Ok(0) | Err(_) => return Answers { closed: true, ..answers },
                Ok(count) => bytes.extend(&buffer[..count]),
            }
            let pings = answers.count(PING);
            let rest = answers.take_in(&bytes);
            bytes.drain(..bytes.len() - rest);
            for _ in pings..answers.count(PING) {
                let pong = frames::frame(PING, frames::ACK, 0, &answers.last_ping);
                _ = timeout_at(deadline, writing.write_all(&pong)).await;
            }
        }
        answers
    }

    /// How long the server bears with a connection on which nothing more is sent; `None`: longer than `limit`.
    pub async fn lasts(self, since: Instant, limit: Duration) -> Option<Duration> {
        self.read(limit.saturating_sub(since.elapsed())).await.closed.then(|| since.elapsed())
    }
}

async fn read(mut stream: impl AsyncReadExt + Unpin, deadline: Instant) -> Answers {
    let (mut answers, mut bytes, mut buffer) = (Answers::default(), Vec::new(), vec![0; 64 * 1024]);
    loop {
        let read: Result<io::Result<usize>, _> = timeout_at(deadline, stream.read(&mut buffer)).await;
        match read {
            Err(_) => return answers,
            Ok(Ok(0) | Err(_)) => return Answers { closed: true, ..answers },
            Ok(Ok(count)) => bytes.extend(&buffer[..count]),
        }
        let rest = answers.take_in(&bytes);
        bytes.drain(..bytes.len() - rest);
    }
}

impl Answers {
    /// Notes the frames that are whole; tells how many bytes are left.
    fn take_in(&mut self, mut bytes: &[u8]) -> usize {
        while let Some((head, behind)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some((payload, behind)) = behind.split_at_checked(length) else { break };
            self.note(head[3], payload);
            bytes = behind;
        }
        bytes.len()
    }

    fn note(&mut self, kind: u8, payload: &[u8]) {
        *self.frames.entry(kind).or_default() += 1;
        let number =
            |at: usize| payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        match kind {
            GOAWAY => self.goaway = number(4),
            PING => self.last_ping = payload.try_into().unwrap_or_default(),
            RST_STREAM => *self.resets.entry(number(0).unwrap_or(0)).or_default() += 1,
            _ => {}
        }
    }

    /// How many frames of a kind came.
    pub fn count(&self, kind: u8) -> usize {
        self.frames.get(&kind).copied().unwrap_or(0)
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", if self.closed { "closed" } else { "open" })?;
        if let Some(code) = self.goaway {
            write!(f, ", goaway {}", name(code))?;
        }
        for (code, count) in &self.resets {
            write!(f, ", {count} streams reset with {}", name(*code))?;
        }
        Ok(())
    }
}

fn name(code: u32) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).map_or_else(|| code.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_and_a_part_of_one_is_kept() {
        let goaway = frames::frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 11]);
        let bytes = [frames::reset(3), goaway.clone(), goaway[..12].to_vec()].concat();
        let mut answers = Answers::default();
        assert_eq!(answers.take_in(&bytes), 12);
        assert_eq!((answers.goaway, answers.count(GOAWAY), answers.resets.get(&8)), (Some(11), 1, Some(&1)));
        assert_eq!(answers.to_string(), "open, goaway ENHANCE_YOUR_CALM, 1 streams reset with CANCEL");
    }
}
