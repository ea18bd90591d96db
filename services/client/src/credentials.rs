//! What the client shows of itself: an API key or a token, with each call.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::error::Error;

/// A connection that shows who calls.
pub type Connection = InterceptedService<Channel, Credentials>;

/// How often a file is read again.
const REREAD: Duration = Duration::from_secs(1);

/// Credentials. Clones share them.
#[derive(Clone, Default)]
pub struct Credentials(Option<Arc<Source>>);

struct Source {
    file: Option<PathBuf>,
    shown: Mutex<Shown>,
}

struct Shown {
    header: MetadataValue<Ascii>,
    read: Instant,
    /// Counts the changes.
    version: u64,
}

impl Credentials {
    /// None: for servers that need none.
    pub fn none() -> Self {
        Self::default()
    }

    /// An API key, a tracking token or a token of an OpenID provider.
    pub fn token(token: &str) -> Result<Self, Error> {
        Self::of(None, header_of(token)?)
    }

    /// The token that a file holds. The file is read again while it is used: when somebody puts another token there, calls show that one,
    /// and watches that had ended with the old one go on.
    pub fn file(path: &Path) -> Result<Self, Error> {
        Self::of(Some(path.to_owned()), read(path)?)
    }

    fn of(file: Option<PathBuf>, header: MetadataValue<Ascii>) -> Result<Self, Error> {
        let shown = Mutex::new(Shown { header, read: Instant::now(), version: 0 });
        Ok(Self(Some(Arc::new(Source { file, shown }))))
    }

    /// Which token is shown: it rises with each other one.
    pub(crate) fn version(&self) -> u64 {
        self.0.as_ref().map_or(0, |source| source.shown(Duration::ZERO).version)
    }
}

impl Source {
    /// What is shown, read less than `age` ago. A file that cannot be read, as in the moment when it is replaced, changes nothing.
    fn shown(&self, age: Duration) -> MutexGuard<'_, Shown> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.file
            && shown.read.elapsed() >= age
        {
            shown.read = Instant::now();
            if let Ok(header) = read(path)
                && header != shown.header
            {
                (shown.header, shown.version) = (header, shown.version + 1);
            }
        }
        shown
    }
}

fn read(path: &Path) -> Result<MetadataValue<Ascii>, Error> {
    let wrong = |what: String| Error::new(Code::Unauthenticated, format!("the token file {}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    header_of(&text).map_err(|error| wrong(error.message))
}

/// The error does not repeat the token.
fn header_of(token: &str) -> Result<MetadataValue<Ascii>, Error> {
    let token = token.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = is_token.then(|| format!("Bearer {token}").parse().ok()).flatten();
    let mut header: MetadataValue<Ascii> =
        header.ok_or_else(|| Error::new(Code::Unauthenticated, "this is no token: it must be one line of ASCII"))?;
    header.set_sensitive(true);
    Ok(header)
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(source) = &self.0 {
            request.metadata_mut().insert("authorization", source.shown(REREAD).header.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Credentials(hidden)" } else { "Credentials(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(credentials: &mut Credentials) -> Option<String> {
        let request = credentials.call(Request::new(())).expect("never refused");
        request.metadata().get("authorization").map(|value| value.to_str().expect("ASCII").to_owned())
    }

    #[test]
    fn a_token_is_shown_to_the_server_and_to_nobody_else() {
        let mut credentials = Credentials::token(" cmd_a_secret\n").expect("a token");
        assert_eq!(shown(&mut credentials).as_deref(), Some("Bearer cmd_a_secret"));
        assert!(!format!("{credentials:?}").contains("secret"));
        assert_eq!(shown(&mut Credentials::none()), None);
        for wrong in ["", " \n", "a\nb", "ñ"] {
            let error = Credentials::token(wrong).expect_err("no token");
            assert!(error.message.contains("one line of ASCII"), "{error}");
        }
    }

    #[test]
    fn a_file_is_read_again_and_what_cannot_be_read_changes_nothing() {
        let path = std::env::temp_dir().join(format!("comanda-token-{}", uuid::Uuid::new_v4()));
        fs::write(&path, "first\n").expect("writes");
        let mut credentials = Credentials::file(&path).expect("a token");
        let first = credentials.version();
        fs::write(&path, "second\n").expect("writes");
        assert!(credentials.version() > first);
        assert_eq!(shown(&mut credentials).as_deref(), Some("Bearer second"));
        let second = credentials.version();
        fs::remove_file(&path).expect("removes");
        assert_eq!(credentials.version(), second);
        assert_eq!(shown(&mut credentials).as_deref(), Some("Bearer second"));
        assert!(Credentials::file(&path).expect_err("no file").message.contains("token file"));
    }
}
