//! The shim alone, for its own tests and benchmarks; in production `orca shim` is the same call.
fn main() -> std::process::ExitCode {
    shim::main(std::env::args_os().skip(1))
}
