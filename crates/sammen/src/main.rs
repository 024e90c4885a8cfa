//! The Sammen node.

use std::process::ExitCode;

fn main() -> ExitCode {
    sammen::cli::main()
}
