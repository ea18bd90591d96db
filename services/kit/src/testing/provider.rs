//! An OpenID provider for tests: it signs what it is told to, and answers as badly as it is told to.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Who tokens are for.
pub const AUDIENCE: &str = "comanda";

/// How the provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// With its keys.
    Good,
    /// With an error.
    Down,
    /// Never.
    Silent,
    /// With more than anybody wants to read.
    Enormous,
    /// With something else.
    Nonsense,
}

/// A provider on a free port.
pub struct Provider {
    /// Its name, which is its address.
    pub issuer: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    issuer: String,
    mood: Mutex<Mood>,
    key: Mutex<Key>,
    asked: AtomicUsize,
}

struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("random numbers");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random).expect("a key");
        Self { id: id.to_owned(), pair }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": encoded(x), "y": encoded(y)})
    }
}

impl Provider {
    /// Starts one.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let (mood, key) = (Mutex::new(Mood::Good), Mutex::new(Key::new("first")));
        let shared = Arc::new(Shared { issuer: issuer.clone(), mood, key, asked: AtomicUsize::new(0) });
        let serving = tokio::spawn(serve(listener, shared.clone()));
        Ok(Self { issuer, shared, serving })
    }

    /// The claims of a good token of the tenant "acme".
    pub fn claims(&self, subject: &str, role: &str) -> Value {
        let expires = now() + 3600;
        json!({"iss": self.issuer, "aud": AUDIENCE, "sub": subject, "tenant": "acme", "role": role, "exp": expires})
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let key = self.shared.key.lock().unwrap_or_else(PoisonError::into_inner);
        self.signed(&json!({"alg": "ES256", "kid": key.id}), claims, &key)
    }

    /// A token that says that it was signed with another key than it was.
    pub fn token_of_key(&self, key_id: &str, claims: &Value) -> String {
        let key = self.shared.key.lock().unwrap_or_else(PoisonError::into_inner);
        self.signed(&json!({"alg": "ES256", "kid": key_id}), claims, &key)
    }

    /// A token that is not signed.
    pub fn unsigned_token(&self, claims: &Value) -> String {
        let key = self.shared.key.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{}.", content(&json!({"alg": "none", "kid": key.id}), claims))
    }

    /// A token that is signed with the public key as if that were a secret.
    pub fn token_by_public_key(&self, claims: &Value) -> String {
        let key = self.shared.key.lock().unwrap_or_else(PoisonError::into_inner);
        let content = content(&json!({"alg": "HS256", "kid": key.id}), claims);
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.pair.public_key().as_ref());
        let signature = hmac::sign(&secret, content.as_bytes());
        format!("{content}.{}", encoded(signature.as_ref()))
    }

    fn signed(&self, header: &Value, claims: &Value, key: &Key) -> String {
        let content = content(header, claims);
        let signature = key.pair.sign(&SystemRandom::new(), content.as_bytes()).expect("random numbers");
        format!("{content}.{}", encoded(signature.as_ref()))
    }

    /// Takes a new key; the old one is in its answers no more.
    pub fn roll(&self, key_id: &str) {
        *self.shared.key.lock().unwrap_or_else(PoisonError::into_inner) = Key::new(key_id);
    }

    /// Answers otherwise from now on.
    pub fn be(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn content(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()))
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            // A client that has gone learns nothing.
            let _ = answer(stream, &shared).await;
        });
    }
}

async fn answer(mut stream: TcpStream, shared: &Shared) -> Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await?;
        anyhow::ensure!(count > 0, "hung up");
        head.extend_from_slice(&buffer[..count]);
    }
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let is_configuration = head.starts_with(b"GET /.well-known/openid-configuration ");
    let mood = *shared.mood.lock().unwrap_or_else(PoisonError::into_inner);
    let (status, body) = match (mood, is_configuration) {
        (Mood::Silent, _) => return std::future::pending().await,
        (Mood::Down, _) => ("503 Service Unavailable", String::new()),
        (Mood::Nonsense, _) => ("200 OK", "<html>".to_owned()),
        (_, true) => {
            let jwks_uri = format!("{}/keys", shared.issuer);
            ("200 OK", json!({"issuer": shared.issuer, "jwks_uri": jwks_uri}).to_string())
        }
        (Mood::Enormous, false) => ("200 OK", format!("{{\"keys\": [{}]}}", "1,".repeat(1 << 20))),
        (Mood::Good, false) => {
            let jwk = shared.key.lock().unwrap_or_else(PoisonError::into_inner).jwk();
            ("200 OK", json!({ "keys": [jwk] }).to_string())
        }
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await?;
    tokio::time::timeout(Duration::from_secs(5), stream.shutdown()).await??;
    Ok(())
}
