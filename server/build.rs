//! Rebuilds the server when the site it embeds has changed. Only in release: in debug the site is
//! read from disk, and a watched build would never rest.

use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The folder must be there to compile; a clean clone has none.
    let site = "../target/site";
    let _ = fs::create_dir_all(site);
    if env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo:rerun-if-changed={site}");
    }
}
