//! `cargo xtask bench`: how fast Hubbub is, each figure beside another of the same run; the ratio is
//! what compares between machines.
//!
//! Everything stays on this machine and ends by itself. Nothing here is a test: a slow machine is not a failure.

#![allow(clippy::print_stdout)]

mod brokers;
mod capacity;
mod churn;
mod cores;
mod costs;
mod crowd;
mod durable;
mod fan_out;
mod flood;
mod floor;
mod frames;
mod guard;
mod hubbub;
mod joins;
mod model;
mod nodes;
mod plots;
mod process;
mod report;
mod requests;
mod returning;
mod rooms;
mod stalled;
mod used;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use self::{
    brokers::Brokers, capacity::Assumed, costs::Asked, fan_out::FanOut, flood::Flood,
    report::Report,
};

/// Anything that goes wrong ends the run.
type Result<T = ()> = std::result::Result<T, Error>;
type Error = Box<dyn std::error::Error + Send + Sync>;

/// How fast Hubbub is: all there is to measure, or one thing.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench")]
struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    /// A binary to measure; more than one are measured one after the other
    #[arg(long = "server", value_name = "PATH", global = true, default_value = BUILT)]
    servers: Vec<String>,
    /// Fewer clients and shorter runs, where all is measured: about three minutes
    #[arg(long)]
    quick: bool,
    /// Count instructions in place of time, and compare with what they were: needs valgrind
    #[arg(long, conflicts_with = "quick")]
    guard: bool,
    /// Write the instructions down that are counted now
    #[arg(long, requires = "guard")]
    update: bool,
    /// Write what was measured there as well, as JSON
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    /// Draw what was measured, as SVG files in this directory
    #[arg(long, value_name = "DIR", global = true)]
    plots: Option<PathBuf>,
}

/// What `cargo xtask build` makes.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/hubbub");

#[derive(Debug, Subcommand)]
enum What {
    /// Messages kept a second, beside SQLite alone
    Durable {
        /// For each figure
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// What it costs to hand one text to many readers, beside other servers
    FanOut(FanOut),
    /// Every log, and several hubs where they can share it: publishing, handing on, joining
    Brokers(Brokers),
    /// What each thing costs hubs and servers of NATS, one by one: what `capacity` reckons with
    Costs(Asked),
    /// What so many people cost in hubs, servers of NATS, bytes and money: nothing is measured
    Capacity(Assumed),
    /// Many clients join one room by WebSocket: what it costs the server, on either face
    Joins {
        /// How many
        #[arg(long, default_value_t = 10_000)]
        clients: usize,
    },
    /// One text to many readers: with one core, and with two
    Cores {
        /// How many
        #[arg(long, default_value_t = 5_000)]
        readers: usize,
    },
    /// Many rooms with few readers each
    Rooms {
        /// How many
        #[arg(long, default_value_t = 1_000)]
        rooms: usize,
        /// For each figure
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// A room in which a tenth of the readers reads nothing
    Stalled {
        /// How many readers
        #[arg(long, default_value_t = 1_000)]
        readers: usize,
        /// For each figure
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Pages and polls
    Requests {
        /// For each figure
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// Clients come back after a restart, each to what it missed
    Returning {
        /// A tenth of the clients
        #[arg(long)]
        few: bool,
    },
    /// Clients come and go for a long time: whether memory grows
    Churn {
        /// How many at once
        #[arg(long, default_value_t = 200)]
        clients: usize,
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
    /// How long an ack takes in one room while another is flooded
    Flood(Flood),
    /// The server that others are measured against
    #[command(hide = true)]
    Floor,
    /// What is counted
    #[command(hide = true)]
    Step { step: usize, times: usize },
}

impl What {
    fn all(quick: bool) -> [Self; 10] {
        let (clients, seconds, flood) = if quick { (2_000, 1, 3) } else { (10_000, 3, 15) };
        [
            Self::Durable { seconds },
            Self::FanOut(FanOut::new(quick, seconds)),
            Self::Joins { clients },
            Self::Cores { readers: clients / 2 },
            Self::Rooms { rooms: clients / 10, seconds },
            Self::Stalled { readers: clients / 10, seconds },
            Self::Requests { seconds },
            Self::Returning { few: quick },
            Self::Flood(Flood::new(clients, flood)),
            Self::Brokers(Brokers::new(quick, seconds)),
        ]
    }

    fn measure(&self, report: &mut Report, servers: &[String]) -> Result {
        match self {
            Self::Durable { seconds } => {
                let length = Duration::from_secs(*seconds);
                Builder::new_multi_thread()
                    .enable_all()
                    .build()?
                    .block_on(durable::run(report, servers, length))
            }
            Self::FanOut(fan_out) => one_thread()?.block_on(fan_out::run(report, servers, fan_out)),
            Self::Brokers(brokers) => {
                one_thread()?.block_on(brokers::run(report, servers, brokers))
            }
            Self::Costs(asked) => one_thread()?.block_on(costs::run(report, servers, asked)),
            Self::Capacity(assumed) => capacity::run(report, assumed),
            Self::Joins { clients } => {
                one_thread()?.block_on(joins::run(report, servers, *clients))
            }
            Self::Cores { readers } => {
                one_thread()?.block_on(cores::run(report, servers, *readers))
            }
            Self::Rooms { rooms, seconds } => {
                let length = Duration::from_secs(*seconds);
                one_thread()?.block_on(rooms::run(report, servers, *rooms, length))
            }
            Self::Stalled { readers, seconds } => {
                let length = Duration::from_secs(*seconds);
                one_thread()?.block_on(stalled::run(report, servers, *readers, length))
            }
            Self::Requests { seconds } => {
                let length = Duration::from_secs(*seconds);
                one_thread()?.block_on(requests::run(report, servers, length))
            }
            Self::Returning { few } => {
                one_thread()?.block_on(returning::run(report, servers, *few))
            }
            Self::Churn { clients, minutes } => {
                let length = Duration::from_secs(minutes * 60);
                one_thread()?.block_on(churn::run(report, servers, *clients, length))
            }
            Self::Flood(flood) => one_worker()?.block_on(flood::run(report, servers, flood)),
            Self::Floor => one_thread()?.block_on(floor::run()),
            Self::Step { step, times } => one_thread()?.block_on(guard::step(*step, *times)),
        }
    }
}

/// One thread for all clients, so that the server has the rest of the machine.
fn one_worker() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

fn one_thread() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn main() -> Result {
    let Bench { what, servers, quick, guard, update, json, plots } = Bench::parse();
    let mut report = Report::default();
    match what {
        Some(one) => one.measure(&mut report, &servers)?,
        None if guard => guard::run(&mut report, update)?,
        None => {
            for one in What::all(quick) {
                one.measure(&mut report, &servers)?;
            }
        }
    }
    plots.map_or(Ok(()), |plots| report.draw(&plots))?;
    json.map_or(Ok(()), |json| report.write(&json, &servers))
}
