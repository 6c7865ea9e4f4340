//! Files that somebody named, read whole: at most so much of them. A name can lead to
//! `/dev/zero`, or to a dump of gigabytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// A file's bytes.
///
/// # Errors
/// Where it cannot be read, or has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let why = format!("it has more than {} MiB", most >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}
