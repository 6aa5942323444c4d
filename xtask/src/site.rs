//! The site: what `cargo leptos build --release -P` makes, without needing cargo-leptos.
//!
//! wasm-bindgen and wasm-split run as libraries, so that Cargo.lock keeps tool and crate at one version; wasm-opt
//! comes from npm, and without npm the site is a bit bigger.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use crate::{
    step::{Result, cargo, has, output, root, run, step},
    style,
};

const TARGET: &str = "wasm32-unknown-unknown";
const NAME: &str = "hubbub";
/// What every page loads, before wasm-bindgen has made its script.
const MAIN: &str = "main.wasm";

/// Builds `target/site`, if anything it is made of is newer.
pub(crate) fn build() -> Result {
    step("wasm target", || {
        let installed =
            Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
        let there = installed
            .is_ok_and(|out| Path::new(String::from_utf8_lossy(&out.stdout).trim()).is_dir());
        if there { Ok(()) } else { run(Command::new("rustup").args(["target", "add", TARGET])) }
    })?;
    step("frontend (wasm)", || {
        // A directory of its own: the flags differ, and sharing would rebuild both each time.
        run(cargo()
            .args(["rustc", "--package", "frontend", "--lib", "--crate-type", "cdylib"])
            .args(["--features", "split", "--target", TARGET, "--profile", "wasm-release"])
            // Where everything is that has to be told anew when it is split.
            .args(["--target-dir", "target/front", "--", "-Clink-arg=--emit-relocs"]))
    })?;
    let wasm = root().join(format!("target/front/{TARGET}/wasm-release/frontend.wasm"));
    let site = root().join("target/site");
    let tool = wasm_opt();
    // Rebuilt with another set of tools the site differs, so that is part of what it is made of.
    let kind = if tool.is_some() { "optimized" } else { "plain" };
    let stamp = root().join(format!("target/site-{kind}.stamp"));
    if is_newer(
        &stamp,
        // Newer than the stamp if `cargo leptos` has built another since.
        &[
            &site.join(format!("pkg/{NAME}.wasm")),
            &wasm,
            &root().join("style"),
            &root().join("public"),
            &root().join("xtask/src"),
        ],
    ) {
        println!("==> site: up to date");
        return Ok(());
    }
    let pkg = site.join("pkg");
    step("site", || {
        clear(&site)?;
        make_dir(&pkg)?;
        split(&wasm, &pkg)?;
        bind(&pkg)?;
        write(&pkg.join(format!("{NAME}.css")), style::bundle()?.as_bytes())?;
        copy_tree(&root().join("public"), &site)
    })?;
    match &tool {
        Some(tool) => step("wasm-opt", || optimize(tool, &pkg))?,
        None => println!("    npm is not here: wasm-opt is left out, the page is a bit bigger"),
    }
    step("compress", || compress_tree(&site))?;
    write(&stamp, b"")
}

/// Cuts what only one page needs off the wasm, into a file of its own; the rest goes to [`MAIN`].
fn split(wasm: &Path, pkg: &Path) -> Result {
    let bytes = fs::read(wasm).map_err(|error| format!("{}: {error}", wasm.display()))?;
    let (main, script) = (pkg.join(MAIN), format!("./{NAME}.js"));
    let mut options = wasm_split_cli_support::Options::new(&bytes);
    options.output_dir = pkg;
    options.main_out_path = &main;
    options.main_module = &script;
    wasm_split_cli_support::transform(options)
        .map(drop)
        .map_err(|error| format!("wasm-split: {error:#}"))
}

fn bind(pkg: &Path) -> Result {
    let main = pkg.join(MAIN);
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(&main)
        .out_name(NAME)
        .typescript(false)
        // Through these the files that were cut off reach the rest.
        .keep_lld_exports(true)
        .demangle(false)
        .web(true)
        .and_then(|bindgen| bindgen.generate(pkg))
        .map_err(|error| format!("wasm-bindgen: {error}"))?;
    fs::remove_file(&main).map_err(|error| format!("{}: {error}", main.display()))?;
    // The page asks for this name (see LEPTOS_OUTPUT_NAME in .cargo/config.toml).
    fs::rename(pkg.join(format!("{NAME}_bg.wasm")), pkg.join(format!("{NAME}.wasm")))
        .map_err(|error| format!("wasm-bindgen's output: {error}"))
}

/// The path of `wasm-opt`, installed from npm if that is here.
fn wasm_opt() -> Option<PathBuf> {
    let tool = root().join("end2end/node_modules/.bin/wasm-opt");
    if !tool.exists() && has("npm") {
        let installed = step("npm packages (wasm-opt, Playwright)", npm_install);
        if let Err(error) = installed {
            println!("    {error}");
        }
    }
    tool.exists().then_some(tool)
}

/// Installs what `end2end/package-lock.json` lists, if it is not there yet. No browser is downloaded.
pub(crate) fn npm_install() -> Result {
    let dir = root().join("end2end");
    let stamp = dir.join("node_modules/.package-lock.json");
    if is_newer(&stamp, &[&dir.join("package-lock.json")]) {
        return Ok(());
    }
    output(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--silent"])
            .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
            .current_dir(dir),
    )
    .map(drop)
}

fn optimize(tool: &Path, pkg: &Path) -> Result {
    // What today's browsers have and rustc uses.
    const FEATURES: [&str; 6] = [
        "--enable-bulk-memory",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-sign-ext",
        "--enable-multivalue",
    ];
    for wasm in files(pkg)?.iter().filter(|path| path.extension().is_some_and(|end| end == "wasm"))
    {
        run(Command::new(tool).arg("-Oz").args(FEATURES).arg(wasm).arg("-o").arg(wasm))?;
    }
    Ok(())
}

/// Leaves `.br` and `.gz` beside every file that gets smaller by it.
fn compress_tree(dir: &Path) -> Result {
    for path in files(dir)? {
        let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut brotli = Vec::new();
        brotli::BrotliCompress(&mut bytes.as_slice(), &mut brotli, &Default::default())
            .map_err(|error| format!("brotli: {error}"))?;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let gzip = gzip.write_all(&bytes).and_then(|()| gzip.finish());
        let gzip = gzip.map_err(|error| format!("gzip: {error}"))?;
        for (end, packed) in [("br", brotli), ("gz", gzip)] {
            if packed.len() < bytes.len() {
                write(&PathBuf::from(format!("{}.{end}", path.display())), &packed)?;
            }
        }
    }
    Ok(())
}

/// Whether `made` is newer than everything in `from`.
fn is_newer(made: &Path, from: &[&Path]) -> bool {
    let Some(made) = modified(made) else { return false };
    from.iter().all(|path| {
        let paths =
            if path.is_dir() { files(path).unwrap_or_default() } else { vec![path.to_path_buf()] };
        paths.iter().all(|path| modified(path).is_some_and(|time| time <= made))
    })
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// All files below `dir`.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

/// Empties `dir`; the directory itself stays, since a running server may be reading it.
pub(crate) fn clear(dir: &Path) -> Result {
    make_dir(dir)?;
    for path in files(dir)? {
        fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result {
    for path in files(from)? {
        let inside = path.strip_prefix(from).map_err(|error| error.to_string())?;
        copy(&path, &to.join(inside))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result {
    let bytes = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    write(to, &bytes)
}

/// Writes a file, and makes the directory it is in.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result {
    path.parent().map_or(Ok(()), make_dir)?;
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Makes a directory, and those it is in.
pub(crate) fn make_dir(dir: &Path) -> Result {
    fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))
}
