//! What a hostile network may try: the real binary is attacked over loopback, where each of 127.0.0.0/8 is another
//! address, and has to be there for everybody else meanwhile.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod attack;
mod bodies;
mod memory;
mod neighbour;
mod soak;
mod strangers;
#[path = "../support/mod.rs"]
mod support;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use neighbour::Neighbour;
use support::process::Hubbub;
use tokio::time::sleep;

/// A server that keeps its data in an empty directory, until it is dropped; and somebody who wants to talk there.
struct Castle {
    hubbub: Hubbub,
    dir: PathBuf,
    neighbour: Option<Neighbour>,
}

/// In KiB. What is not its own is code, which is there once it has run, and stays.
struct Memory {
    whole: u64,
    own: u64,
}

impl Castle {
    async fn new(flags: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("hubbub-siege-{}", uuid::Uuid::new_v4()));
        let hubbub = Hubbub::start_with(dir.clone(), "127.0.0.1:0", flags).await;
        let neighbour = Some(Neighbour::at(&hubbub.address));
        Self { hubbub, dir, neighbour }
    }

    /// Somebody else talked all the while; says how long that took.
    async fn neighbour_was_served(mut self) {
        let took = self.neighbour.take().unwrap().took().await;
        let (middle, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
        println!("  a neighbour's {} messages: p50 {middle:.1?}, p99 {p99:.1?}", took.len());
    }

    /// How much memory it has once it neither takes nor gives back any; its peak begins there.
    async fn calm(&self) -> Memory {
        let whole = self.settle().await;
        self.hubbub.forget_peak();
        Memory { whole, own: self.hubbub.memory("RssAnon") }
    }

    /// How much more memory than `before` it had at the most since [`Castle::calm`], in KiB, once it takes no more.
    async fn most(&self, before: &Memory) -> u64 {
        self.settle().await;
        self.hubbub.memory("VmHWM").saturating_sub(before.whole)
    }

    async fn settle(&self) -> u64 {
        let mut samples = [0; 10];
        for n in (0..samples.len()).cycle() {
            samples[n] = self.hubbub.memory("VmRSS");
            if samples.iter().max().unwrap() - samples.iter().min().unwrap() < 256 {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        samples[0]
    }

    /// How much memory it has of its own, in KiB, once it has given back all but `bound`, or has had the time for that.
    async fn own(&self, bound: u64) -> u64 {
        let begun = Instant::now();
        while self.hubbub.memory("RssAnon") > bound && begun.elapsed() < attack::PATIENCE {
            sleep(Duration::from_millis(100)).await;
        }
        self.hubbub.memory("RssAnon")
    }
}

impl Drop for Castle {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
