//! Small files that are whole at any moment: also after a kill or a crash there
//! is the old content or the new, never a part.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Writes `value` as JSON to `path`, in place of what is there.
///
/// # Errors
/// Where it cannot be written; the old content is still there.
pub fn save(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let aside = beside(path, "tmp");
    let mut file = File::create(&aside)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    rename(&aside, path)
}

/// Reads what [`save`] wrote. `None` where there is no such file.
///
/// # Errors
/// Where it cannot be read, or is something else.
pub fn load<T: DeserializeOwned>(path: &Path, what: &str) -> Result<Option<T>, Error> {
    let shown = path.display();
    let text = match fs::read(path) {
        // As `mktemp` leaves it.
        Ok(text) if text.is_empty() => return Ok(None),
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::new(format!("cannot read the {what} `{shown}`")).cause(error));
        }
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        Error::new(format!("`{shown}` is not a {what} of this tool"))
            .cause(error)
            .hint("name another file; nothing is changed")
    })
}

/// Renames for good: also after a crash the file has its new name.
///
/// # Errors
/// Where it cannot be renamed.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// `path` with a further extension.
#[must_use]
pub fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}
