//! The files that settings name, for keys and secrets: what is no file, or too long to be one of those, is not read. What they hold is
//! shown to nobody.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Longest file, in bytes: some keys or secrets, with remarks.
const BYTES_MAX: u64 = 65_536;

/// A file does not hold what it is named for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FileError {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A folder, or what may never end: a pipe, a device.
    #[error("names something that is no file")]
    NoFile,
    /// It holds something else than keys or secrets.
    #[error("names a file of more than {BYTES_MAX} bytes")]
    TooLong,
    /// It was to hold a secret, and there is nothing in it.
    #[error("names an empty file")]
    Empty,
}

/// The secret in a file: its text without the blanks and line ends around it. Blocks.
///
/// # Errors
/// [`FileError`].
pub(super) fn secret_of(path: impl AsRef<Path>) -> Result<String, FileError> {
    let text = text_of(path)?;
    let secret = text.trim();
    if secret.is_empty() { Err(FileError::Empty) } else { Ok(secret.to_owned()) }
}

/// The text of a file. Blocks.
///
/// # Errors
/// Any [`FileError`] but `Empty`.
pub(super) fn text_of(path: impl AsRef<Path>) -> Result<String, FileError> {
    let path = path.as_ref();
    let unreadable = |error: io::Error| FileError::Unreadable(error.to_string());
    // Looked at first: to open a pipe waits for who writes into it, for ever perhaps.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NoFile);
    }
    if metadata.len() > BYTES_MAX {
        return Err(FileError::TooLong);
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    // Editors of Windows begin a file with a mark of its encoding.
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}
