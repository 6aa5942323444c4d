//! A clean Debian 12 in a folder, to install things into: made once by debootstrap, copied for each test.
//!
//! Nothing is mounted in it and it shares this machine's network. The rule to keep: who can't have one is told why.

use std::{fs, path::PathBuf, process::Command};

use crate::{
    site::make_dir,
    step::{Result, answers, output, root, run, step},
    tool::{is_root, tool},
};

/// The release, and what its C library is called after the `GLIBC_2.`.
const RELEASE: &str = "bookworm";
const GLIBC: u32 = 36;

/// The top of it.
pub(crate) struct Debian(PathBuf);

impl Debian {
    /// A fresh one by this name, if there can be one here.
    pub(crate) fn fresh(name: &str) -> Result<Option<Self>> {
        if !is_possible()? {
            return Ok(None);
        }
        let base = root().join("target").join(RELEASE);
        if !base.exists() {
            let unfinished = base.with_extension("unfinished");
            remove(&unfinished)?;
            // What it mounts is gone with it, even if it is broken off.
            step("debootstrap", || {
                run(Command::new("unshare")
                    .args(["--mount", "debootstrap", "--variant=minbase", RELEASE])
                    .arg(&unfinished))
            })?;
            fs::rename(&unfinished, &base)
                .map_err(|error| format!("{}: {error}", base.display()))?;
        }
        let fresh = Self(root().join("target/clean").join(name));
        remove(&fresh.0)?;
        make_dir(&root().join("target/clean"))?;
        run(Command::new("cp").args(["--archive", "--reflink=auto"]).arg(base).arg(&fresh.0))?;
        fs::copy("/etc/resolv.conf", fresh.path("/etc/resolv.conf"))
            .map_err(|error| format!("/etc/resolv.conf: {error}"))?;
        Ok(Some(fresh))
    }

    /// Where `inside` is, seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.0.join(inside.trim_start_matches('/'))
    }

    /// A program in there, with nothing of this process's environment, as root or as `user:group` in numbers.
    pub(crate) fn command(&self, user: Option<&str>, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if let Some(user) = user {
            command.arg(format!("--userspec={user}")).arg("--groups=");
        }
        command.arg(&self.0).arg(program);
        command
    }

    /// Everything that is there and whose it is; what dpkg keeps for itself is left out.
    pub(crate) fn listing(&self) -> Result<Vec<String>> {
        let mut find = Command::new("find");
        find.arg(&self.0).args(["-path", "*/var/lib/dpkg", "-prune", "-o"]);
        let mut lines: Vec<_> = output(find.args(["-printf", "/%P %M %U:%G %l\n"]))?
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        lines.sort();
        Ok(lines)
    }

    /// Lets go of it; what a test fails on stays, to be looked at.
    pub(crate) fn done(self) -> Result {
        remove(&self.0)
    }
}

/// Whether there can be one; says why not.
fn is_possible() -> Result<bool> {
    if !is_root() || !answers(Command::new("unshare").args(["--mount", "true"])) {
        println!("    a clean Debian is left out: it takes root, and one who may mount");
        return Ok(false);
    }
    Ok(!tool("debootstrap", "debootstrap")?.is_empty())
}

/// Whether the binary that was built here starts there, or was linked against a newer C library; says so.
pub(crate) fn fits() -> Result<bool> {
    let binary = root().join("target/release/hubbub");
    let versions = output(
        Command::new("grep").args(["--text", "--only-matching", "GLIBC_2[.][0-9]*"]).arg(binary),
    )?;
    let minor = |line: &str| line.rsplit('.').next()?.parse().ok();
    let needed: u32 = versions.lines().filter_map(minor).max().unwrap_or_default();
    if needed > GLIBC {
        println!("    left out: glibc here is 2.{needed}, and Debian's {RELEASE} has 2.{GLIBC}");
    }
    Ok(needed <= GLIBC)
}

fn remove(dir: &PathBuf) -> Result {
    if !dir.exists() {
        return Ok(());
    }
    // Should anything be mounted there after all, it stays.
    run(Command::new("rm").args(["--recursive", "--force", "--one-file-system"]).arg(dir))
}
