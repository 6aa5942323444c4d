//! Steps that say what they do, and the commands they run.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// What a step comes to: nothing, or a sentence for the person at the terminal.
pub(crate) type Result<T = ()> = std::result::Result<T, String>;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the repository").to_owned()
}

/// Does one step, and says which and how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {name}");
    let start = Instant::now();
    let done = work().map_err(|error| format!("{name}: {error}"))?;
    println!("    {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(done)
}

/// The cargo that runs this program, at the top of the repository, into `target/` whatever the
/// environment says: the site is embedded from there.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", root().join("target"));
    cargo
}

/// Runs a command to its end, its output on the terminal.
pub(crate) fn run(command: &mut Command) -> Result {
    let status = command.status().map_err(|error| format!("{}: {error}", name(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", name(command))) }
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", name(command)))?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", name(command), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program by this name can be started.
pub(crate) fn has(program: &str) -> bool {
    // The last are Pebble's and Caddy's.
    let flags = ["--version", "-v", "-h", "version"];
    flags.iter().any(|flag| answers(Command::new(program).arg(flag)))
}

/// Whether cargo knows a command by this name.
pub(crate) fn cargo_has(command: &str) -> bool {
    answers(cargo().args([command, "--version"]))
}

/// Whether a command succeeds, whatever it prints.
pub(crate) fn answers(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What this compiler compiles for.
pub(crate) fn host() -> Result<String> {
    let told = output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not say what it compiles for".to_owned())
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
