//! The step `packages` of `cargo xtask test`: what is handed out, used as whoever gets it will.
//!
//! The archive is unpacked, the package installed on a clean Debian and purged again, the image run. The rule to keep: what
//! can't be done on this machine is said.

use std::{fs, process::Command};

use crate::{
    debian::{self, Debian},
    dist, image,
    serving::Serving,
    site::make_dir,
    step::{Result, host, output, root, run, step},
};

/// What the package brings, besides directories.
const INSTALLED: [&str; 11] = [
    "/etc/default/hubbub",
    "/usr/bin/hubbub",
    "/usr/lib/systemd/system/hubbub.service",
    "/usr/share/bash-completion/completions/hubbub",
    "/usr/share/doc/hubbub/LICENSE-APACHE",
    "/usr/share/doc/hubbub/LICENSE-MIT",
    "/usr/share/doc/hubbub/copyright",
    "/usr/share/doc/hubbub/examples/hubbub.socket",
    "/usr/share/fish/vendor_completions.d/hubbub.fish",
    "/usr/share/man/man1/hubbub.1.gz",
    "/usr/share/zsh/vendor-completions/_hubbub",
];

/// Where the unit has its directory, where that is in truth, and whose it is: systemd makes up such a number
/// (`StateDirectory`, `DynamicUser`).
const STATE: &str = "/var/lib/hubbub";
const PRIVATE: &str = "/var/lib/private/hubbub";
const NOBODY: &str = "61184:61184";

/// Makes what is handed out, and uses it.
pub(crate) fn test() -> Result {
    if !cfg!(target_os = "linux") {
        println!("    left out: they are for Linux");
        return Ok(());
    }
    step("dist", dist::make)?;
    step("archive", archive)?;
    step("dist, again", is_reproducible)?;
    if !debian::fits()? {
        return Ok(());
    }
    if let Some(debian) = Debian::fresh("package")? {
        step("package", || package(debian))?;
    }
    image::test()
}

/// The checksums are right, and what is in the archive is whole and runs.
fn archive() -> Result {
    let dist = root().join("target/dist");
    let check = ["--check", "--strict", "--quiet", "SHA256SUMS"];
    run(Command::new("sha256sum").args(check).current_dir(&dist))?;
    let name = format!("hubbub-{}-{}", dist::VERSION, host()?);
    let unpacked = root().join("target/clean");
    make_dir(&unpacked)?;
    run(Command::new("tar")
        .args(["--extract", "--file"])
        .arg(dist.join(format!("{name}.tar.gz")))
        .arg("--directory")
        .arg(&unpacked))?;
    let unpacked = unpacked.join(name);
    is_version(&output(Command::new(unpacked.join("hubbub")).arg("--version"))?)?;
    for file in ["hubbub.1", "completions/_hubbub", "hubbub.service", "README.md", "LICENSE-MIT"] {
        let text = fs::read(unpacked.join(file)).map_err(|error| format!("{file}: {error}"))?;
        if text.is_empty() {
            return Err(format!("{file} is empty"));
        }
    }
    fs::remove_dir_all(&unpacked).map_err(|error| format!("{}: {error}", unpacked.display()))
}

/// Made once more, it is the same.
fn is_reproducible() -> Result {
    let sums = || fs::read_to_string(root().join("target/dist/SHA256SUMS")).unwrap_or_default();
    let before = sums();
    dist::make()?;
    if sums() == before { Ok(()) } else { Err(format!("before:\n{before}after:\n{}", sums())) }
}

/// Installed, what the unit starts serves; purged, nothing is left.
fn package(debian: Debian) -> Result {
    // It is made by systemd, and for all.
    make_dir(&debian.path("/var/lib/private"))?;
    let before = debian.listing()?;
    let name = dist::names(&root().join("target/dist"))?
        .into_iter()
        .find(|name| name.ends_with(".deb"))
        .ok_or("there is no package")?;
    fs::copy(root().join("target/dist").join(&name), debian.path("/hubbub.deb"))
        .map_err(|error| format!("{name}: {error}"))?;
    run(debian.command(None, "dpkg").args(["--install", "/hubbub.deb"]))?;
    fs::remove_file(debian.path("/hubbub.deb")).map_err(|error| error.to_string())?;

    let brought = output(debian.command(None, "dpkg").args(["--listfiles", "hubbub"]))?;
    let mut brought: Vec<_> = brought.lines().filter(|path| !debian.path(path).is_dir()).collect();
    brought.sort_unstable();
    if brought != INSTALLED {
        return Err(format!("the package brings {brought:#?}"));
    }
    let enabled = "/etc/systemd/system/multi-user.target.wants/hubbub.service";
    if !debian.path(enabled).is_symlink() {
        return Err("the unit is not started with the system".to_owned());
    }
    is_version(&output(debian.command(None, "hubbub").arg("--version"))?)?;
    run_unit(&debian)?;

    run(debian.command(None, "dpkg").args(["--purge", "hubbub"]))?;
    let after = debian.listing()?;
    let differ = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    let (left, gone) = (differ(&after, &before), differ(&before, &after));
    if !left.is_empty() || !gone.is_empty() {
        return Err(format!("after the purge there is {left:#?}, and no longer {gone:#?}"));
    }
    debian.done()
}

/// Runs what the unit runs, as systemd would.
fn run_unit(debian: &Debian) -> Result {
    run(debian.command(None, "mkdir").arg(PRIVATE))?;
    run(debian.command(None, "chown").args([NOBODY, PRIVATE]))?;
    run(debian.command(None, "ln").args(["--symbolic", "private/hubbub", STATE]))?;
    let unit = fs::read_to_string(debian.path("/usr/lib/systemd/system/hubbub.service"))
        .map_err(|error| format!("the unit: {error}"))?;
    let starts = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
    let words = starts.ok_or("the unit starts nothing")?.replace("%S", "/var/lib");
    let mut words = words.split(' ');
    let mut hubbub = debian.command(Some(NOBODY), words.next().unwrap_or_default());
    hubbub.args(words).env("HUBBUB_LISTEN", "127.0.0.1:0");
    let mut serving = Serving::start(&mut hubbub)?;
    let answer = serving.get("/healthz")?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        return Err(format!("/healthz answers {answer}"));
    }
    serving.stop()
}

fn is_version(told: &str) -> Result {
    let wanted = format!("hubbub {}", dist::VERSION);
    if told.trim() == wanted { Ok(()) } else { Err(format!("`{told}` is not `{wanted}`")) }
}
