//! Words by which mail servers say whom a refusal is about, as Postfix, Exim, Sendmail, qmail, Exchange, Gmail, SES and others put them.
//!
//! Each phrase is compared word by word, in lower case; one that ends in `*` also matches longer words.

/// A server that takes no mail of a stranger at the first try.
#[rustfmt::skip]
pub const GREYLIST: [&str; 3] = [
    "greylist*", "graylist*", "grey list*",
];

/// About the client or the sender, whatever code stands before it.
#[rustfmt::skip]
pub const SENDER: [&str; 52] = [
    "helo", "ehlo", "sender address", "sender verif*", "sender reject*", "sender den*", "sender not", "sender is not",
    "sender unknown", "sender domain", "invalid sender", "unknown sender", "bad sender", "your sender", "this sender", "mail from",
    "envelope from", "from address", "return path", "client host*", "client ip", "client address", "client was", "your ip",
    "your host*", "your server", "your domain", "your account", "your address", "send as", "sending domain", "rbl", "dnsbl",
    "spamhaus", "blacklist*", "blocklist*", "block list*", "denylist*", "spf", "dkim", "dmarc", "reverse dns", "rdns", "ptr",
    "fqdn", "ip address", "not verified", "sandbox", "reputation", "your hostname", "your ptr", "your network",
];

/// About us as well, but also in texts about a recipient, so looked for after those.
#[rustfmt::skip]
pub const US: [&str; 33] = [
    "relay*", "rcpthosts", "unverified", "authenticat*", "unauthenticat*", "auth", "authorized", "unauthorized", "authorised",
    "log in", "login", "logged in", "credentials", "blocked", "listed", "barracuda*", "sorbs", "hostname", "starttls", "encryption",
    "tls required", "not permitted", "not allowed", "permission", "policy", "access denied", "refused to talk", "banned",
    "suspended", "administrative*", "prohibit*", "restricted", "not accept mail from",
];

/// About how much or how fast we send.
#[rustfmt::skip]
pub const PACE: [&str; 27] = [
    "sending quota", "sending limit*", "send quota", "send limit*", "rate limit*", "ratelimit*", "rate exceeded", "rate is",
    "throttl*", "too many", "too fast", "too quickly", "too much mail", "daily", "hourly", "per day", "per hour", "per minute",
    "per second", "quota exceeded", "exceeded quota", "exceeded its quota", "limit exceeded", "exceeded limit", "message limit*",
    "slow down", "limit reached",
];

/// There is no such recipient.
#[rustfmt::skip]
pub const RECIPIENT: [&str; 47] = [
    "user unknown", "unknown user", "no such user", "no such recipient", "no such mailbox", "no such address", "no such account",
    "no such person", "no such domain", "no such local user", "no mailbox", "unknown recipient", "recipient unknown",
    "unknown address", "address unknown", "unknown mailbox", "unknown local*", "unknown or illegal", "not found", "does not exist",
    "doesn t exist", "not exist", "doesn t have", "does not have", "nonexist*", "non exist*", "unknown account",
    "invalid recipient", "invalid mailbox", "invalid address", "invalid user", "bad recipient", "bad destination", "bad address",
    "mailbox unavailable", "mailbox not available", "mailbox disabled", "mailbox is disabled", "account disabled",
    "account is disabled", "account inactive", "mailbox inactive", "inactive user", "inactive", "unrouteable address",
    "undeliverable", "no longer available",
];

/// What may be full.
#[rustfmt::skip]
pub const MAILBOX: [&str; 8] = [
    "mailbox", "inbox", "recipient*", "user", "user s", "account", "storage", "over",
];

/// It is full.
#[rustfmt::skip]
pub const FULL: [&str; 6] = [
    "full", "quota", "storage", "size limit*", "limit exceeded", "exceeded",
];

/// What we send is meant, not a mailbox.
#[rustfmt::skip]
pub const OUTGOING: [&str; 8] = [
    "send*", "sent", "daily", "hourly", "per day", "per hour", "outgoing", "message size",
];

/// About the size of a message.
#[rustfmt::skip]
pub const SIZE: [&str; 7] = [
    "size", "too large", "too big", "too long", "larger than", "exceeds fixed*", "maximum message*",
];

/// About SMTPUTF8.
#[rustfmt::skip]
pub const UTF8: [&str; 6] = [
    "smtputf8", "utf8", "utf 8", "internationali*", "non ascii", "unsupported option",
];

/// About the content of a message.
#[rustfmt::skip]
pub const MESSAGE: [&str; 11] = [
    "spam", "virus*", "malware", "infected", "attachment*", "content*", "header*", "message body", "bare lf", "junk", "phishing",
];
