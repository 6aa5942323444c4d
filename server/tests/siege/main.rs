//! What a hostile network may try: the real binary is attacked over loopback, where each of 127.0.0.0/8 is another
//! address, and has to be there for everybody else meanwhile.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod attack;
mod bodies;
mod memory;
mod soak;
mod strangers;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;

use support::process::Hubbub;

/// A server that keeps its data in an empty directory, until it is dropped.
struct Castle {
    hubbub: Hubbub,
    dir: PathBuf,
}

impl Castle {
    async fn new(flags: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("hubbub-siege-{}", uuid::Uuid::new_v4()));
        let hubbub = Hubbub::start_with(dir.clone(), "127.0.0.1:0", flags).await;
        Self { hubbub, dir }
    }
}

impl Drop for Castle {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
