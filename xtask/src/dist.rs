//! `cargo xtask dist`: what is handed out of a build, in `target/dist`.
//!
//! An archive for any Linux, a package for Debian, lists of what is inside (SBOM), and checksums of all. Manual page and
//! completions come from the binary itself. The rule to keep: of one binary and one commit it is the same to the last byte.

use std::{env, fs, path::Path, process::Command};

use crate::{
    site::{clear, make_dir, write},
    step::{Result, cargo, host, output, root, run},
};

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is put into the archive as it stands in the repository.
const FILES: [&str; 6] = [
    "README.md",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "packaging/hubbub.service",
    "packaging/hubbub.socket",
];

/// What says how `hubbub`'s words are completed, by shell and by the name it is looked for under.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "hubbub.bash"), ("zsh", "_hubbub"), ("fish", "hubbub.fish")];

/// Packs `target/release/hubbub`, which is there.
pub(crate) fn make() -> Result {
    let (dist, staged) = (root().join("target/dist"), root().join("target/package"));
    clear(&dist)?;
    clear(&staged)?;
    let time = time()?;
    stage(&staged)?;
    archive(&staged, &dist, &time)?;
    debian(&dist, &time)?;
    materials("server", &host()?, &dist.join(format!("hubbub-{VERSION}.cdx.json")), &time)?;
    // The site inside is compiled for another machine, of other crates.
    let site = dist.join(format!("hubbub-{VERSION}-site.cdx.json"));
    materials("frontend", "wasm32-unknown-unknown", &site, &time)?;
    let sums = output(Command::new("sha256sum").args(names(&dist)?).current_dir(&dist))?;
    write(&dist.join("SHA256SUMS"), sums.as_bytes())
}

/// The names of the files in `dir`, in order.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// When it was made, for whoever writes that down: at the last commit, unless `SOURCE_DATE_EPOCH` says otherwise.
fn time() -> Result<String> {
    if let Ok(time) = env::var("SOURCE_DATE_EPOCH") {
        return Ok(time);
    }
    let time = output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()))?;
    Ok(time.trim().to_owned())
}

/// Lays out what the archive has; the package takes some of it from here.
fn stage(dir: &Path) -> Result {
    let binary = root().join("target/release/hubbub");
    let copy = |from: &Path| {
        let name = from.file_name().unwrap_or_default();
        let copied = fs::copy(from, dir.join(name)).map(drop);
        copied.map_err(|error| format!("{}: {error}", from.display()))
    };
    copy(&binary)?;
    FILES.iter().try_for_each(|file| copy(&root().join(file)))?;
    let man = output(Command::new(&binary).arg("man"))?;
    write(&dir.join("hubbub.1"), man.as_bytes())?;
    COMPLETIONS.iter().try_for_each(|(shell, name)| {
        let script = output(Command::new(&binary).args(["completions", shell]))?;
        write(&dir.join("completions").join(name), script.as_bytes())
    })
}

fn archive(staged: &Path, dist: &Path, time: &str) -> Result {
    let name = format!("hubbub-{VERSION}-{}", host()?);
    run(Command::new("tar")
        .args(["--create", "--sort=name", "--owner=root:0", "--group=root:0", "--mode=u=rwX,go=rX"])
        .arg(format!("--mtime=@{time}"))
        // Without the time at which it is packed.
        .arg("--use-compress-program=gzip --no-name")
        .arg(format!("--transform=s,^\\.,{name},"))
        .arg("--file")
        .arg(dist.join(format!("{name}.tar.gz")))
        .arg("--directory")
        .arg(staged)
        .arg("."))
}

/// The package, as `[package.metadata.deb]` in `server/Cargo.toml` has it.
fn debian(dist: &Path, time: &str) -> Result {
    run(cargo_tool("cargo-deb", "3.8.0")?
        // Not fast, it takes seven times as long for a tenth.
        .args(["deb", "--no-build", "--fast", "--quiet", "--package", "server", "--output"])
        .arg(dist)
        .env("SOURCE_DATE_EPOCH", time))
}

/// What `package` is made of when it is compiled for `target`.
fn materials(package: &str, target: &str, to: &Path, time: &str) -> Result {
    run(cargo_tool("cargo-cyclonedx", "0.5.9")?
        .args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5"])
        .args(["--target", target, "--override-filename", "materials"])
        .arg("--manifest-path")
        .arg(root().join(package).join("Cargo.toml"))
        .env("SOURCE_DATE_EPOCH", time))?;
    let mut told = None;
    // It writes one into each crate of the workspace.
    for name in names(&root())? {
        let file = root().join(&name).join("materials.json");
        if let Ok(text) = fs::read_to_string(&file) {
            fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            told = if name == package { Some(text) } else { told };
        }
    }
    let told = told.ok_or_else(|| format!("nothing was said of what `{package}` is made of"))?;
    // Where the repository is on this machine is nobody's business.
    write(to, told.replace(&root().display().to_string(), "/hubbub").as_bytes())
}

/// One of cargo's commands, in this version whatever else is installed: it is kept in `target/tools`.
fn cargo_tool(name: &str, version: &str) -> Result<Command> {
    let dir = root().join("target/tools");
    make_dir(&dir)?;
    run(cargo()
        // It runs for seconds: optimizing it takes longer than it saves.
        .args(["install", "--debug", "--locked", "--quiet", name, "--version"])
        .arg(format!("={version}"))
        .arg("--root")
        .arg(&dir)
        .env("CARGO_PROFILE_DEV_DEBUG", "false"))?;
    let mut command = Command::new(dir.join("bin").join(name));
    command.current_dir(root()).env("CARGO_TARGET_DIR", root().join("target"));
    Ok(command)
}
