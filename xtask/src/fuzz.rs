//! `cargo xtask fuzz [SECONDS] [TARGET…]`: does anything that a stranger sends bring it down?
//!
//! libFuzzer on the stable compiler: the coverage it steers by comes from LLVM's own pass, which needs no nightly;
//! only the sanitizers would, and there is no unsafe code here to find with them. What it finds is an input under
//! `fuzz/artifacts/`: write a test that shows it, then mend it.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::step::{Result, cargo, host, root, run, step};

/// What is fuzzed, and whether it takes the whole server.
const TARGETS: [(&str, bool); 7] = [
    ("frames", false),
    ("packets", false),
    ("pages", false),
    ("requests", true),
    ("cookies", true),
    ("lines", true),
    ("log", true),
];
/// How the code is made to tell which way it went.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg erase_components";

/// Runs each of the targets that are named, or all, for so many seconds: 60 unless told.
pub(crate) fn run_all(args: &[&str]) -> Result {
    let (seconds, names) = match args {
        [seconds, rest @ ..] if seconds.parse::<u64>().is_ok() => (*seconds, rest),
        rest => ("60", rest),
    };
    if let Some(unknown) = names.iter().find(|name| TARGETS.iter().all(|(known, _)| known != *name))
    {
        return Err(format!("there is no target `{unknown}`; there are {TARGETS:?}"));
    }
    let host = host()?;
    for (name, takes_server) in
        TARGETS.iter().filter(|(name, _)| names.is_empty() || names.contains(name))
    {
        step(&format!("build of {name}"), || {
            let mut build = cargo();
            build
                .current_dir(root().join("fuzz"))
                .env("CARGO_TARGET_DIR", root().join("fuzz/target"));
            // For a target of its own, so that build scripts are not watched, too.
            build
                .args(["build", "--release", "--target", &host, "--bin", name])
                .env("RUSTFLAGS", COVERAGE);
            run(if *takes_server { build.args(["--features", "server"]) } else { &mut build })
        })?;
        step(name, || {
            let dir = root().join("fuzz");
            let (corpus, artifacts) = (dir.join("corpus").join(name), dir.join("artifacts"));
            for made in [&corpus, &artifacts] {
                fs::create_dir_all(made).map_err(|error| format!("{}: {error}", made.display()))?;
            }
            let mut fuzz = Command::new(dir.join("target").join(&host).join("release").join(name));
            fuzz.arg(format!("-max_total_time={seconds}"))
                .arg("-timeout=20")
                .arg(format!("-artifact_prefix={}/{name}-", artifacts.display()))
                .args([corpus, dir.join("seeds").join(name)])
                .stdin(Stdio::null());
            run(&mut fuzz)
        })?;
    }
    Ok(())
}
