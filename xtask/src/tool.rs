//! Programs of the system's that tests need: found, or installed where that can be done.

use std::{env, process::Command};

use crate::step::{Result, has, output, run};

/// A program that tests talk to, of a package of Debian's; empty where there is none and none can be installed, and the
/// tests that need it say they are skipped. In CI a test that is left out is a failure.
pub(crate) fn tool(program: &str, package: &str) -> Result<String> {
    if !has(program) {
        install(package)?;
    }
    match (has(program), env::var_os("CI")) {
        (true, _) => Ok(program.to_owned()),
        (false, Some(_)) => Err(format!("install {package}")),
        (false, None) => {
            println!("    {package} is not here, and its tests are left out");
            Ok(String::new())
        }
    }
}

/// Installs a package of Debian's, as root and where it is Debian.
pub(crate) fn install(package: &str) -> Result {
    if is_root() && has("apt-get") {
        let install = ["install", "--yes", "--no-install-recommends", package];
        run(Command::new("apt-get").args(["update", "--quiet"]))?;
        run(Command::new("apt-get").args(install).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
