//! The person's own editor, on a file that only they can read.

use std::io::{self, IsTerminal, Write};

use ops_common::cli::with_own_ctrl_c;
use ops_common::env;
use ops_common::error::Error;
use tempfile::NamedTempFile;
use tokio::process::Command;

/// What came back from the editor.
pub(crate) struct Edited {
    pub(crate) text: String,
    file: NamedTempFile,
}

impl Edited {
    /// Leaves the file where it is, and says so: it is somebody's work.
    pub(crate) fn keep(self, error: Error) -> Error {
        match self.file.keep() {
            Ok((_, path)) => error.hint(format!("what you wrote is kept in `{}`", path.display())),
            Err(kept) => error.cause(format!("what you wrote cannot be kept: {}", kept.error)),
        }
    }
}

/// Opens the text in `$VISUAL`, else `$EDITOR`, else vi, and waits for its end.
///
/// # Errors
/// Where there is no editor, or it fails.
pub(crate) async fn edit(text: &str) -> Result<Edited, Error> {
    let chosen = env::var(env::VISUAL).or_else(|| env::var(env::EDITOR));
    if chosen.is_none() && !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Error::new("there is no terminal to edit in")
            .hint("set EDITOR to a command that changes the file it is given, or use put"));
    }
    let editor = chosen.unwrap_or_else(|| "vi".to_owned());
    let cannot = |error: io::Error| Error::new("cannot write a file to edit").cause(error);
    let mut file =
        tempfile::Builder::new().prefix("ddb-item-").suffix(".json").tempfile().map_err(cannot)?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(cannot)?;
    // By a shell, since it may have arguments; one that Ctrl-C does not end, since that is
    // the editor's.
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap : INT; {editor} \"$@\""), &editor]).arg(file.path());
    let ended = with_own_ctrl_c(command.status()).await;
    let failed = |why: String| {
        Error::new(format!("the editor `{editor}` failed; nothing is changed"))
            .cause(why)
            .hint("VISUAL or EDITOR names another")
    };
    let why = match ended {
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = why {
        let saved = std::fs::read_to_string(file.path()).unwrap_or_default();
        let is_work = saved != text && !saved.trim().is_empty();
        let edited = Edited { text: saved, file };
        return Err(if is_work { edited.keep(failed(why)) } else { failed(why) });
    }
    // An editor may have put another file in its place.
    match std::fs::read_to_string(file.path()) {
        Ok(text) => Ok(Edited { text, file }),
        Err(error) => Err(failed(format!("what it left cannot be read: {error}"))),
    }
}
