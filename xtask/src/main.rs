//! `cargo xtask run | build | dist | test | mutants | fuzz | bench`: everything one does with this repository, in one command each.
//!
//! Every step says what it does and how long it took; what is up to date is quick. The rule to keep:
//! a fresh clone on a machine with rustup (and Node, for the browser tests) needs nothing else.

// A program for people at a terminal.
#![allow(clippy::print_stdout)]

mod checks;
mod debian;
mod dist;
mod fuzz;
mod image;
mod mutants;
mod packages;
mod serving;
mod site;
mod step;
mod style;
mod tests;
mod tool;

use std::process::{Command, ExitCode};

use step::{Result, cargo, root, run, step};

const USAGE: &str = "\
cargo xtask run [ARGS…]     build and serve; ARGS go to hubbub (try --help)
cargo xtask build           build target/release/hubbub, the site inside
cargo xtask dist            build, and pack what is handed out into target/dist: an archive, a package for Debian, checksums
cargo xtask test [--quick]  every check and test; --quick leaves the browser and the packages out
cargo xtask mutants [CRATE…]
                            would the tests notice if the code were wrong? (takes long; needs cargo-mutants)
cargo xtask fuzz [SECONDS] [TARGET…]
                            does anything that a stranger sends bring it down? (60 seconds a target; needs a C++ compiler)
cargo xtask bench [durable | fan-out | joins | flood | brokers] [--quick] [--json FILE] [--server PATH]…
                            how fast it is, each figure beside a peer's in the same run; of this build, or of
                            several binaries side by side
cargo xtask bench costs       what each thing costs hubs and servers of NATS, one by one (takes half an hour)
cargo xtask bench capacity    what so many people cost in hubs, servers of NATS, bytes and money; --help for what can be assumed
cargo xtask bench page [PATH]…
                            what a room's page costs in a browser: bytes, nodes, how long a key takes
cargo xtask bench --guard [--update]
                            do the hub's inner steps take as many instructions as before? (needs valgrind)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run", rest @ ..] => build().and_then(|()| serve(rest)),
        ["build"] => build(),
        ["dist"] => build().and_then(|()| step("dist", dist::make)),
        ["test"] => tests::all(true),
        ["test", "--quick"] => tests::all(false),
        ["mutants", rest @ ..] => mutants::run(rest),
        ["fuzz", rest @ ..] => fuzz::run_all(rest),
        ["bench", rest @ ..] => bench(rest),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the site, then the server around it.
fn build() -> Result {
    site::build()?;
    step("server", || run(cargo().args(["build", "--release", "--package", "server"])))
}

/// Measures this build, or the binaries that are named.
fn bench(args: &[&str]) -> Result {
    if let ["page", servers @ ..] = args {
        return bench_page(servers);
    }
    let mut bench = cargo();
    bench.args(["run", "--quiet", "--release", "--package", "bench", "--"]).args(args);
    // These start no server.
    if args.iter().any(|arg| ["--guard", "capacity"].contains(arg)) {
        return run(&mut bench);
    }
    if !args.iter().any(|arg| arg.starts_with("--server")) {
        build()?;
    }
    run(bench.envs(tests::nats()?.map(|nats| ("HUBBUB_NATS", nats))))
}

/// Measures the page of this build, or of the binaries that are named.
fn bench_page(servers: &[&str]) -> Result {
    let own = root().join("target/release/hubbub");
    site::npm_install()?;
    let mut page = Command::new("node");
    page.arg(root().join("end2end/bench/page.mjs"));
    if servers.is_empty() {
        build()?;
        return run(page.arg(own));
    }
    run(page.args(servers))
}

fn serve(args: &[&str]) -> Result {
    run(Command::new(root().join("target/release/hubbub")).args(args).current_dir(root()))
}
