//! Why a broker is not reached, in words for people.
//!
//! In: the codes and reasons of librdkafka. Out: which broker, what failed, and which setting to look at. Reasons are not repeated, so nothing
//! of theirs, and no secret, is in a message.

use std::fmt;

use rdkafka::types::RDKafkaErrorCode;

/// Whom a client says to be, and whom it trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user of its login.
    pub user: Option<String>,
    /// How it logs in.
    pub mechanism: String,
    /// The file of the CA.
    pub ca: Option<String>,
}

/// A connection that did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its address, as host:port.
    pub broker: String,
    /// What failed.
    pub cause: Cause,
    /// Who was refused.
    pub account: Account,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// User and password.
    Login,
    /// The broker offers no such login.
    Mechanism,
    /// The broker's certificate, in some way.
    Certificate,
    /// The broker's certificate: none of our CAs signed it.
    Issuer,
    /// The broker's certificate: it is for other names.
    Name,
    /// The broker's certificate: it has ended or not yet begun.
    Time,
    /// The broker wants a certificate of ours.
    ClientCertificate,
    /// The broker does not encrypt.
    NotEncrypted,
    /// The broker encrypts, we do not.
    Encrypted,
    /// The broker wants a login.
    WantsLogin,
    /// Nobody knows the host.
    UnknownHost,
    /// Nothing listens.
    Unreachable,
}

/// Whether an error is about connections, which [`super::Context`] tells by itself.
pub fn is_of_a_connection(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, Resolve, SSL};
    matches!(code, AllBrokersDown | Authentication | BrokerTransportFailure | Resolve | SSL)
}

/// Whether an error may come of a connection that does not come about.
pub fn is_silence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{MessageTimedOut, OperationTimedOut, RequestTimedOut};
    is_of_a_connection(code) || matches!(code, MessageTimedOut | OperationTimedOut | RequestTimedOut)
}

impl Trouble {
    /// What librdkafka told; `None` where it is not about a broker's connection, or is a plain end of one.
    pub fn of(code: RDKafkaErrorCode, reason: &str, account: &Account) -> Option<Self> {
        let cause = match code {
            RDKafkaErrorCode::Authentication if reason.contains("handshake failed") => Cause::Mechanism,
            RDKafkaErrorCode::Authentication => Cause::Login,
            RDKafkaErrorCode::Resolve => Cause::UnknownHost,
            RDKafkaErrorCode::SSL => of_tls(reason),
            RDKafkaErrorCode::BrokerTransportFailure => of_transport(reason)?,
            _ => return None,
        };
        Some(Self { broker: broker(reason)?, cause, account: account.clone() })
    }
}

impl Trouble {
    /// What a line of librdkafka's log tells: a broker that encrypts hangs up on a client that does not before it has answered anything. `None`
    /// for any other line.
    pub fn of_hang_up(line: &str, account: &Account) -> Option<Self> {
        let reason = line.split_once("]: ").map_or(line, |(_, reason)| reason);
        let is_hang_up = reason.contains("closed by peer") && reason.contains("in state APIVERSION_QUERY");
        let broker = broker(reason).filter(|_| is_hang_up && account.ca.is_none())?;
        Some(Self { broker, cause: Cause::Encrypted, account: account.clone() })
    }
}

fn of_tls(reason: &str) -> Cause {
    if reason.contains("wrong version number") || reason.contains("packet length too long") {
        Cause::NotEncrypted
    } else if reason.contains("client SSL authentication") || reason.contains("certificate required") {
        Cause::ClientCertificate
    } else {
        Cause::Certificate
    }
}

fn of_transport(reason: &str) -> Option<Cause> {
    let causes = [
        ("PLAINTEXT broker listener", Cause::NotEncrypted),
        ("SSL connection handshake", Cause::NotEncrypted),
        ("connecting to a SSL listener", Cause::Encrypted),
        ("SASL authentication", Cause::WantsLogin),
        ("certificate required", Cause::ClientCertificate),
        ("Connect to", Cause::Unreachable),
    ];
    causes.into_iter().find(|(part, _)| reason.contains(part)).map(|(_, cause)| cause)
}

/// The address in the name that a reason begins with: `sasl_ssl://HOST:PORT/bootstrap: ...`, or `GroupCoordinator: HOST:PORT: ...`.
fn broker(reason: &str) -> Option<String> {
    let address = |name: &str| {
        let name = name.rsplit_once("://").map_or(name, |(_, name)| name);
        let name = name.split('/').next().unwrap_or_default();
        let port = name.rsplit_once(':')?.1;
        port.parse::<u16>().ok().map(|_| name.to_owned())
    };
    reason.split(": ").take(2).find_map(address)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { broker, account, .. } = self;
        let user = account.user.as_deref().unwrap_or_default();
        let ca = account.ca.as_deref().unwrap_or_default();
        let mechanism = &account.mechanism;
        match self.cause {
            Cause::Login => write!(
                f,
                "broker {broker} refuses the login of user {user:?}: look at --kafka-user and --kafka-password-file"
            ),
            Cause::Mechanism => {
                write!(f, "broker {broker} takes no login by {mechanism}: look at sasl.mechanism in --kafka-config")
            }
            Cause::Certificate => write!(
                f,
                "the certificate of broker {broker} cannot be verified: look at --kafka-ca ({ca}), and at the host in KAFKA_BOOTSTRAP_SERVERS"
            ),
            Cause::Issuer => {
                write!(f, "the certificate of broker {broker} was not signed by a CA of {ca}: look at --kafka-ca")
            }
            Cause::Name => write!(
                f,
                "the certificate of broker {broker} is not for this host: look at KAFKA_BOOTSTRAP_SERVERS, and at the broker's advertised.listeners"
            ),
            Cause::Time => write!(f, "the certificate of broker {broker} has expired or is not yet valid"),
            Cause::ClientCertificate => {
                write!(f, "broker {broker} wants a certificate: look at --kafka-client-cert and --kafka-client-key")
            }
            Cause::NotEncrypted => write!(
                f,
                "broker {broker} speaks no TLS: look at the port in KAFKA_BOOTSTRAP_SERVERS, or leave out --kafka-ca"
            ),
            Cause::Encrypted => {
                write!(f, "broker {broker} closes connections that are not encrypted: look at --kafka-ca")
            }
            Cause::WantsLogin => write!(f, "broker {broker} wants a login: look at --kafka-user"),
            Cause::UnknownHost => {
                write!(f, "the host of broker {broker} is not known: look at KAFKA_BOOTSTRAP_SERVERS")
            }
            Cause::Unreachable => {
                write!(f, "nothing answers at {broker}: is Kafka running, and is KAFKA_BOOTSTRAP_SERVERS right?")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_before_any_answer_is_told_to_a_client_without_tls() {
        let line = "[thrd:127.0.0.1:9093/bootstrap]: 127.0.0.1:9093/bootstrap: Disconnected: connection closed by peer: \
                    receive 0 after POLLIN (after 10ms in state APIVERSION_QUERY)";
        let plain = Account::default();
        let encrypts = Account { ca: Some("ca.crt".into()), ..plain.clone() };
        let trouble = Trouble::of_hang_up(line, &plain).expect("a hang-up");
        assert_eq!((trouble.broker.as_str(), trouble.cause), ("127.0.0.1:9093", Cause::Encrypted));
        assert_eq!(Trouble::of_hang_up(line, &encrypts), None, "it encrypts");
        assert_eq!(Trouble::of_hang_up(&line.replace("APIVERSION_QUERY", "UP"), &plain), None, "it had answered");
    }

    fn told(code: RDKafkaErrorCode, reason: &str) -> Option<(String, Cause)> {
        Trouble::of(code, reason, &Account::default()).map(|trouble| (trouble.broker, trouble.cause))
    }

    #[test]
    fn the_broker_and_the_cause_are_found_in_what_librdkafka_tells() {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, BrokerTransportFailure, Resolve, SSL};
        let told = |code, reason| told(code, reason).map(|(broker, cause)| (broker.leak() as &str, cause));
        for (code, reason, expected) in [
            (
                Authentication,
                "sasl_ssl://127.0.0.1:9092/bootstrap: SASL authentication error: Authentication failed during authentication due to \
                 invalid credentials with SASL mechanism SCRAM-SHA-512 (after 330ms in state AUTH_REQ)",
                ("127.0.0.1:9092", Cause::Login),
            ),
            (
                Authentication,
                "sasl_ssl://b:9092/1: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported \
                 mechanisms: SCRAM-SHA-512 (after 3ms in state AUTH_HANDSHAKE)",
                ("b:9092", Cause::Mechanism),
            ),
            (
                SSL,
                "ssl://localhost:9092/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker \
                 certificate could not be verified, verify that ssl.ca.location is correctly configured",
                ("localhost:9092", Cause::Certificate),
            ),
            (
                BrokerTransportFailure,
                "ssl://localhost:9092/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener? (after 2ms)",
                ("localhost:9092", Cause::NotEncrypted),
            ),
            (
                BrokerTransportFailure,
                "127.0.0.1:9092/bootstrap: Disconnected: requesting ApiVersion: might be caused by incorrect security.protocol \
                 configuration (connecting to a SSL listener?) or broker version is < 0.10",
                ("127.0.0.1:9092", Cause::Encrypted),
            ),
            (
                BrokerTransportFailure,
                "GroupCoordinator: [::1]:9092: Connect to ipv6#[::1]:9092 failed: Connection refused (after 0ms in state CONNECT)",
                ("[::1]:9092", Cause::Unreachable),
            ),
            (
                Resolve,
                "nowhere:9092/bootstrap: Failed to resolve 'nowhere:9092': Name or service not known (after 3ms in state CONNECT)",
                ("nowhere:9092", Cause::UnknownHost),
            ),
        ] {
            assert_eq!(told(code, reason), Some(expected), "{reason}");
        }
        assert_eq!(told(AllBrokersDown, "1/1 brokers are down"), None, "what is more exact was told before");
        assert_eq!(
            told(BrokerTransportFailure, "b:9092/1: Disconnected (after 600000ms in state UP)"),
            None,
            "a plain end"
        );
    }

    #[test]
    fn a_message_names_the_broker_and_the_user_and_the_setting() {
        let account = Account { user: Some("ordering".into()), ..Account::default() };
        let trouble = Trouble { broker: "b:9092".into(), cause: Cause::Login, account };
        assert_eq!(
            trouble.to_string(),
            "broker b:9092 refuses the login of user \"ordering\": look at --kafka-user and --kafka-password-file"
        );
    }
}
