//! `cargo xtask bench`: how fast Hubbub is, each figure beside a peer's in the same run; the ratio is
//! what compares between machines.
//!
//! `bench HUBBUB` runs that binary. Nothing here is a test: a slow machine is not a failure.

#![allow(clippy::print_stdout)]

mod durable;
mod hubbub;

/// Anything that goes wrong ends the run.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result {
    let binary = std::env::args().nth(1).ok_or("usage: bench PATH-OF-HUBBUB")?;
    durable::run(&binary).await
}
