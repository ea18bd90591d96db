//! What a server does to its clients, and when.

/// What the client has just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It has connected.
    Greeting,
    /// It has said EHLO or HELO.
    Hello,
    /// It has logged in.
    Auth,
    /// It has named the sender.
    Mail,
    /// It has named a recipient.
    Rcpt,
    /// It wants to send the message.
    Data,
    /// It has sent the whole message, with its final dot.
    Dot,
    /// It wants to end the conversation.
    Quit,
}

/// What the server does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answers as the client hopes.
    Consent,
    /// Sends this line, or lines with CRLF between them. After the final dot, a positive code accepts the message.
    Reply(String),
    /// Sends these bytes as they are. After the final dot, bytes that begin with 2 accept the message.
    Raw(Vec<u8>),
    /// Never answers, but keeps the connection.
    Silence,
    /// Closes the connection.
    Cut,
    /// Answers as the client hopes, then closes the connection.
    ConsentAndCut,
    /// Answers as the client hopes, and sends this line as well, unasked.
    Twice(String),
    /// After the final dot: accepts the message, then does the other thing instead of saying so.
    Accept(Box<Action>),
}

impl Action {
    /// [`Action::Reply`].
    pub fn reply(line: impl Into<String>) -> Self {
        Self::Reply(line.into())
    }

    /// The code that the client gets where `consent` is the hoped-for answer; 0 where it gets none.
    pub(crate) fn code(&self, consent: &str) -> u16 {
        let bytes = match self {
            Self::Consent | Self::ConsentAndCut | Self::Twice(_) => consent.as_bytes(),
            Self::Reply(line) => line.as_bytes(),
            Self::Raw(bytes) => bytes,
            Self::Silence | Self::Cut | Self::Accept(_) => return 0,
        };
        let digits = bytes.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}
