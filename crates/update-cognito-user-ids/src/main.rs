//! The binary; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    update_cognito_user_ids::main()
}
