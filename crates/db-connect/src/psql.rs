//! psql, as it is run: its environment, its prompt, and what keeps it from writing.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use ops_common::error::Error;
use ops_common::postgres::ConnectionUrl;
use ops_common::postgres::programs;
use ops_common::postgres::stamp::Seen;
use ops_common::ui::Ui;

use crate::start_up;

/// psql, about to take this process's place.
#[derive(Debug)]
pub(crate) struct Psql {
    command: Command,
    /// PGOPTIONS, as the URL has them
    options: Option<String>,
    /// open until psql has read it
    start_up: Option<OwnedFd>,
}

impl Psql {
    /// Connecting as `url` does, whatever the environment says.
    pub(crate) fn new(url: &ConnectionUrl) -> Self {
        let mut command = programs::command("psql");
        let variables = url.libpq_environment();
        let options = variables.iter().find(|(name, _)| *name == "PGOPTIONS");
        let options = options.map(|(_, options)| options.clone());
        command.envs(variables);
        Self { command, options, start_up: None }
    }

    /// A prompt that nobody takes for the one on their own machine. What psql counts as
    /// no width stands between `%[` and `%]`.
    pub(crate) fn set_prompt(&mut self, write: bool, ui: &Ui) {
        let label = if write { "PROD, writing" } else { "PROD" };
        let label = if ui.colors_stdout() {
            format!("%[%033[1;97;41m%] {label} %[%033[0m%]")
        } else {
            label.to_owned()
        };
        self.command.arg(format!("--set=PROMPT1={label} %/%R%x%# "));
        self.command.arg(format!("--set=PROMPT2={label} %/%R%x%# "));
    }

    /// Lets transactions read only, by a setting.
    pub(crate) fn read_only(&mut self) {
        let given = self.options.as_ref().map_or(String::new(), |options| format!("{options} "));
        self.command.env("PGOPTIONS", format!("{given}-c default_transaction_read_only=on"));
    }

    /// Lets psql read no start-up file.
    pub(crate) fn no_start_up_file(&mut self) {
        self.command.arg("--no-psqlrc");
    }

    /// Lets psql look first whether it is where this process was. `own`: then it reads
    /// the person's own start-up file.
    ///
    /// # Errors
    /// See [`start_up::checking`].
    pub(crate) fn check_first(&mut self, seen: &Seen, own: bool) -> Result<(), Error> {
        let file = start_up::checking(seen, own)?;
        self.command.env("PSQLRC", start_up::path(&file));
        self.start_up = Some(file);
        Ok(())
    }

    /// Becomes psql. Returns only where it could not.
    pub(crate) fn exec(mut self, arguments: Vec<OsString>) -> Error {
        let error = self.command.args(arguments).exec();
        match error.kind() {
            io::ErrorKind::NotFound => Error::new("there is no `psql` on the PATH")
                .hint("Debian and Ubuntu: `apt-get install postgresql-client`")
                .hint("macOS: `brew install libpq`, and put its `bin` on the PATH"),
            _ => Error::new("cannot run `psql`").cause(error),
        }
    }
}
