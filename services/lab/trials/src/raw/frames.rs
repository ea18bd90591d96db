//! HTTP/2 as bytes (RFC 9113), right or wrong. Pure.

/// How a connection begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest increment of a window, and the largest window.
pub const LARGEST_WINDOW: u32 = (1 << 31) - 1;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The window that new streams get (SETTINGS_INITIAL_WINDOW_SIZE).
pub const INITIAL_WINDOW: u16 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_of_length(payload.len(), kind, flags, stream, payload)
}

/// A frame that claims another length than it has.
pub fn frame_of_length(claimed: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(claimed).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Preface and settings, as every client begins.
pub fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()
}

/// The headers of a call.
pub fn call(stream: u32, path: &str, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(path))
}

/// A whole call.
pub fn whole_call(stream: u32, path: &str, message: &[u8]) -> Vec<u8> {
    [call(stream, path, 0), frame(DATA, END_STREAM, stream, &prefixed(message))].concat()
}

/// The header block of a call: every header literally, none indexed (RFC 7541, section 6.2.2).
pub fn block(path: &str) -> Vec<u8> {
    let headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "comanda"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    headers.iter().flat_map(|(name, value)| header(name, value)).collect()
}

/// One header, literally; name and value are shorter than 127 bytes.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len() & 0x7f).unwrap_or(0)], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// A message as gRPC sends it.
pub fn prefixed(message: &[u8]) -> Vec<u8> {
    [&claimed(u32::try_from(message.len()).unwrap_or(u32::MAX))[..], message].concat()
}

/// The beginning of a message that claims this length.
pub fn claimed(length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [0, a, b, c, d]
}

/// More room for what the other side sends.
pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// The end of a stream by its client.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_length_in_three_bytes() {
        assert_eq!(frame(PING, ACK, 0, b"12345678"), [&[0, 0, 8, 6, 1, 0, 0, 0, 0][..], b"12345678"].concat());
        assert_eq!(frame_of_length(0x01_02_03, DATA, 0, 5, b""), [1, 2, 3, 0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn a_header_is_literal() {
        assert_eq!(header("te", "trailers"), b"\x00\x02te\x08trailers");
        assert_eq!(prefixed(b"ab"), [0, 0, 0, 0, 2, b'a', b'b']);
    }
}
