//! `cargo xtask bench`: how fast Hubbub is, each figure beside another of the same run; the ratio is
//! what compares between machines.
//!
//! Everything stays on this machine and ends by itself. Nothing here is a test: a slow machine is not a failure.

#![allow(clippy::print_stdout)]

mod crowd;
mod durable;
mod fan_out;
mod flood;
mod floor;
mod frames;
mod hubbub;
mod joins;
mod process;

use clap::{Args, Parser, Subcommand};

/// Anything that goes wrong ends the run.
type Result<T = ()> = std::result::Result<T, Error>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// How fast Hubbub is.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    servers: Servers,
}

#[derive(Debug, Args)]
struct Servers {
    /// A binary to measure; more than one are measured one after the other
    #[arg(long = "server", value_name = "PATH", global = true, default_value = BUILT)]
    servers: Vec<String>,
}

/// What `cargo xtask build` makes.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/hubbub");

#[derive(Debug, Subcommand)]
enum What {
    /// Messages kept a second, beside SQLite alone (the default)
    Durable,
    /// Many clients join one room by WebSocket: what it costs the server, on either face
    Joins {
        /// How many
        #[arg(long, default_value_t = 10_000)]
        clients: usize,
    },
    /// What it costs to hand one text to many readers, beside other servers
    FanOut(fan_out::FanOut),
    /// The server that others are measured against
    #[command(hide = true)]
    Floor,
    /// How long an ack takes in one room while another is flooded
    Flood(flood::Flood),
}

fn main() -> Result {
    let bench = Bench::parse();
    let servers = &bench.servers.servers;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    match bench.what.unwrap_or(What::Durable) {
        What::Durable => runtime.enable_all().build()?.block_on(async {
            for server in servers {
                durable::run(server).await?;
            }
            Ok(())
        }),
        // One thread for all clients, so that the server has the rest of the machine.
        What::Joins { clients } => {
            runtime.worker_threads(1).enable_all().build()?.block_on(joins::run(servers, clients))
        }
        What::FanOut(fan_out) => {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on(fan_out::run(servers, &fan_out))
        }
        What::Floor => {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on(floor::run())
        }
        What::Flood(flood) => {
            runtime.worker_threads(1).enable_all().build()?.block_on(flood::run(servers, &flood))
        }
    }
}
