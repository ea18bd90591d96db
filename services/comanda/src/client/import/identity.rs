//! Which import a row belongs to: the request ids of one import are never those of another.

use std::{fs, path::Path};

use uuid::{Uuid, uuid};

use crate::failure::Failure;

/// Ours alone, so that request ids of imports never meet other UUIDs. Changing it would import known files once more.
const NAMESPACE: Uuid = uuid!("5d0c3c53-8a0e-4f0f-9a3b-2f1f5c1e7a64");

/// What the user named, or else where the file is. The content cannot say which file it is: a row that is taken out, and an order of the
/// next day that happens to be equal, look the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportId(Uuid);

impl ImportId {
    /// Named by the user; the file counts for nothing.
    pub fn named(name: &str) -> Self {
        Self::new("name", name.as_bytes())
    }

    /// By the absolute path, so that the same file under another spelling or through a link is the same import.
    pub fn of_file(file: &Path) -> Result<Self, Failure> {
        let path = fs::canonicalize(file).ok().filter(|path| path.is_file());
        let path = path.ok_or_else(|| {
            Failure::refused(format!(
                "{:?} is not a file that can be found again: name the import with --import-id",
                file.display().to_string()
            ))
        })?;
        Ok(Self::new("file", path.as_os_str().as_encoded_bytes()))
    }

    fn new(kind: &str, id: &[u8]) -> Self {
        Self(Uuid::new_v5(&NAMESPACE, &[kind.as_bytes(), b"\0", id].concat()))
    }

    /// Of what is told apart by this text within the import.
    pub fn request_id(&self, text: &str) -> Uuid {
        Uuid::new_v5(&self.0, text.as_bytes())
    }
}
