//! The `palisade` command: parse, dispatch, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    palisade::cli::main().into()
}
