//! Shows how long each child process stayed a zombie, and who reaped it.

use std::process::Termination;

fn main() -> impl Termination {
    zombie_trace::program::main()
}
