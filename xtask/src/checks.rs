//! What `cargo xtask test` looks at without running anything of Hubbub: boundaries, dependencies, lints,
//! documentation and types.

use std::process::Command;

use crate::{
    site::npm_install,
    step::{Result, cargo, cargo_has, has, output, root, run},
};

/// Crates that a crate must not pull in, however deep, and one that shows the tree was read at all.
const BOUNDARIES: [(&str, &[&str], &str); 4] = [
    ("hub", &["axum", "leptos", "hyper", "rusqlite", "async-nats"], "tokio"),
    ("jetstream", &["axum", "leptos", "hyper", "rusqlite"], "async-nats"),
    ("client", &["axum", "leptos", "hyper", "tokio", "web-sys", "gloo"], "common"),
    ("lab", &["axum", "leptos", "hyper", "tokio", "web-sys", "gloo"], "client"),
];

/// Who may depend on whom: the core knows no HTTP, no Leptos and no database, the client neither a browser nor a runtime.
pub(crate) fn boundaries() -> Result {
    for (package, banned, there) in BOUNDARIES {
        let tree = output(cargo().args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
        ]))?;
        let names = || tree.lines().filter_map(|line| line.split_whitespace().next());
        if let Some(banned) =
            banned.iter().find(|banned| names().any(|name| name.starts_with(*banned)))
        {
            return Err(format!("`{package}` depends on `{banned}`, and must not"));
        }
        if !names().any(|name| name == there) {
            return Err(format!("`cargo tree` did not list what `{package}` depends on"));
        }
    }
    Ok(())
}

/// Licences, duplicates and sources as deny.toml has them, and known vulnerabilities where their database can be had.
pub(crate) fn dependencies() -> Result {
    if !cargo_has("deny") {
        println!("    left out: `cargo install cargo-deny --locked` brings it");
        return Ok(());
    }
    let deny =
        |args: &[&str]| run(cargo().args(["deny", "--locked", "--log-level", "error"]).args(args));
    deny(&["check", "bans", "licenses", "sources"])?;
    // Offline there is nothing to compare with, and that is nobody's fault.
    let fetched = cargo().args(["deny", "--locked", "fetch", "db"]).output();
    if fetched.is_ok_and(|output| output.status.success()) {
        deny(&["check", "--disable-fetch", "advisories"])
    } else {
        println!("    advisories are left out: their database can't be fetched from here");
        Ok(())
    }
}

/// All that does not run in the browser, in one call: each crate is compiled once, with what all need of it. What runs there
/// has to be compiled for itself, or `ssr` and `hydrate` would both be on (leptos-rs/leptos#4587).
pub(crate) const SERVER_SIDE: [&str; 5] =
    ["--workspace", "--exclude", "frontend", "--features", "app/ssr,client/native"];

/// Every target of every crate, one side a call.
pub(crate) fn clippy() -> Result {
    deny_warnings(cargo().args(["clippy", "--all-targets"]).args(SERVER_SIDE))
}

/// What runs in the browser, compiled for it.
pub(crate) fn clippy_wasm() -> Result {
    deny_warnings(cargo().args(["clippy", "--package", "frontend", "--package", "app"]).args([
        "--features",
        "app/hydrate",
        "--target",
        "wasm32-unknown-unknown",
        "--target-dir",
        "target/front",
    ]))
}

fn deny_warnings(clippy: &mut Command) -> Result {
    run(clippy.args(["--quiet", "--", "--deny", "warnings"]))
}

/// The documentation is whole: no broken link, nothing public that points at something private.
pub(crate) fn docs() -> Result {
    let of = |args: &[&str]| {
        run(cargo()
            .args(["doc", "--quiet", "--no-deps"])
            .args(args)
            .env("RUSTDOCFLAGS", "--deny warnings"))
    };
    of(&[
        "--package",
        "common",
        "--package",
        "hub",
        "--package",
        "jetstream",
        "--package",
        "socketio",
        "--package",
        "client",
        "--features",
        "client/native",
        "--package",
        "lab",
        "--package",
        "server",
    ])?;
    of(&["--package", "app", "--features", "ssr"])
}

/// TypeScript's compiler over the browser tests.
pub(crate) fn types() -> Result {
    if !has("npm") {
        println!("    left out: npm is not here");
        return Ok(());
    }
    npm_install()?;
    run(Command::new("npx").args(["--no-install", "tsc"]).current_dir(root().join("end2end")))
}
