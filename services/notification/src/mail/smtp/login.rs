//! AUTH (RFC 4954), by PLAIN or LOGIN.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    super::failure::{Cause, Failure, Phase},
    offers::Offers,
    wire::Wire,
};

/// The server asks for the next part.
const GO_ON: u16 = 334;

/// Logs in; the first way that we know and the server offers.
pub async fn log_in(
    wire: &mut Wire,
    offers: &Offers,
    user: &str,
    password: &str,
    limit: Duration,
) -> Result<(), Failure> {
    let offered = |way: &str| offers.logins.iter().any(|login| login == way);
    let (first, answers) = if offered("PLAIN") {
        (format!("AUTH PLAIN {}", encoded(&format!("\0{user}\0{password}"))), vec![])
    } else if offered("LOGIN") {
        ("AUTH LOGIN".to_owned(), vec![encoded(user), encoded(password)])
    } else {
        let cause = Cause::Unfit("the server offers no login that we know (AUTH PLAIN or LOGIN)".into());
        return Err(Failure { phase: Phase::Auth, cause });
    };
    let mut reply = wire.ask(Phase::Auth, format!("{first}\r\n").as_bytes(), limit).await?;
    for answer in answers {
        if reply.code != GO_ON {
            break;
        }
        reply = wire.ask(Phase::Auth, format!("{answer}\r\n").as_bytes(), limit).await?;
    }
    if (200..300).contains(&reply.code) { Ok(()) } else { Err(Failure::reply(Phase::Auth, reply)) }
}

fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}
