//! Encryption and login towards Kafka.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use rdkafka::ClientConfig;

use super::settings::check;
use crate::secret::Secret;

/// The only mechanism: the password itself is never sent.
const MECHANISM: &str = "SCRAM-SHA-512";

/// Settings of encryption and login. A program that was built without them (the feature `kafka-tls`) refuses them.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Security {
    /// Encrypt connections to Kafka: a file with the CA of the brokers' certificates, in PEM. For public ones that of the system, such as
    /// /etc/ssl/certs/ca-certificates.crt.
    #[arg(long, env = "COMANDA_KAFKA_CA", value_name = "FILE", value_parser = certificates)]
    pub kafka_ca: Option<PathBuf>,
    /// Log in to Kafka by SCRAM-SHA-512, as this user.
    #[arg(long, env = "COMANDA_KAFKA_USER", value_name = "NAME", requires_all = ["kafka_ca", "kafka_password_file"])]
    pub kafka_user: Option<String>,
    /// A file with that user's password.
    #[arg(long, env = "COMANDA_KAFKA_PASSWORD_FILE", value_name = "FILE", value_parser = password, requires = "kafka_user")]
    pub kafka_password_file: Option<Secret>,
    /// A file with a certificate to show to Kafka, in PEM, where it asks for one.
    #[arg(long, env = "COMANDA_KAFKA_CLIENT_CERT", value_name = "FILE", requires_all = ["kafka_ca", "kafka_client_key"])]
    pub kafka_client_cert: Option<PathBuf>,
    /// The file of its private key, in PEM.
    #[arg(long, env = "COMANDA_KAFKA_CLIENT_KEY", value_name = "FILE", requires = "kafka_client_cert")]
    pub kafka_client_key: Option<PathBuf>,
}

impl Security {
    /// Adds what librdkafka needs.
    pub(super) fn apply(&self, client: &mut ClientConfig) {
        let Some(ca) = &self.kafka_ca else { return };
        client.set("ssl.ca.location", text(ca));
        client.set("security.protocol", if self.kafka_user.is_some() { "sasl_ssl" } else { "ssl" });
        if let (Some(user), Some(password)) = (&self.kafka_user, &self.kafka_password_file) {
            client.set("sasl.mechanism", MECHANISM).set("sasl.username", user).set("sasl.password", password.reveal());
        }
        if let (Some(cert), Some(key)) = (&self.kafka_client_cert, &self.kafka_client_key) {
            client.set("ssl.certificate.location", text(cert)).set("ssl.key.location", text(key));
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Checked at the start, so that a program that cannot encrypt says so before it does anything.
fn certificates(file: &str) -> Result<PathBuf, String> {
    check("ssl.ca.location", file)
        .map_err(|error| format!("{error}; build it with `--features kafka-tls` (it needs OpenSSL's headers)"))?;
    fs::metadata(file).map_err(|error| format!("cannot read it: {error}"))?;
    Ok(file.into())
}

fn password(file: &str) -> Result<Secret, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("cannot read it: {error}"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err("it is empty".into()) } else { Ok(Secret::new(text)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        security: Security,
    }

    fn parsed(words: &[&str]) -> Result<Security, String> {
        let words = std::iter::once("test").chain(words.iter().copied());
        Cli::try_parse_from(words).map(|cli| cli.security).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_changes_without_a_setting() {
        let mut client = ClientConfig::new();
        parsed(&[]).expect("valid").apply(&mut client);
        assert_eq!(client.config_map().len(), 0);
    }

    #[test]
    fn a_login_needs_encryption_and_a_password() {
        let error = parsed(&["--kafka-user", "ordering"]).expect_err("incomplete");
        assert!(error.contains("--kafka-ca") && error.contains("--kafka-password-file"), "{error}");
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn a_program_that_cannot_encrypt_says_so() {
        let error = parsed(&["--kafka-ca", "/dev/null"]).expect_err("not built for it");
        assert!(error.contains("built without support") && error.contains("--features kafka-tls"), "{error}");
    }

    #[cfg(feature = "kafka-tls")]
    #[test]
    fn the_password_is_that_of_the_file_and_is_not_shown() {
        let file = std::env::temp_dir().join(format!("comanda-test-{}", uuid::Uuid::new_v4()));
        fs::write(&file, "s3cret,x=y\n").expect("written");
        let words = [
            "--kafka-ca",
            "/dev/null",
            "--kafka-user",
            "ordering",
            "--kafka-password-file",
            file.to_str().expect("a path"),
        ];
        let security = parsed(&words).expect("valid");
        let mut client = ClientConfig::new();
        security.apply(&mut client);
        assert_eq!(
            (client.get("sasl.password"), client.get("security.protocol")),
            (Some("s3cret,x=y"), Some("sasl_ssl"))
        );
        client.create_native_config().expect("librdkafka knows all of it");
        assert!(!format!("{security:?}").contains("s3cret"));
        fs::write(&file, "\n").expect("written");
        assert!(parsed(&words).expect_err("no password").contains("it is empty"));
        fs::remove_file(&file).expect("removed");
    }
}
