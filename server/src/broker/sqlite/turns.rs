//! Who writes: a task that is there as long as something waits to be written.
//!
//! A thread that only writes has to be woken for each request, and has to wake whoever asked: with one publisher that was
//! most of the time an acknowledgement took. The rule to keep: what waits is never left to nobody. Whoever asks puts
//! down what before it looks whether somebody writes, and whoever leaves off writing looks again.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use metrics::Histogram;
use parking_lot::Mutex;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use super::writer::{Work, Writer};

/// When so much waits, it is looked for what nobody waits for any more.
const MANY: usize = 1024;

pub(super) struct Turns {
    waiting: Mutex<VecDeque<Work>>,
    /// Somebody is at it, or about to be.
    is_led: AtomicBool,
    /// None once it has ended.
    writer: Mutex<Option<Writer>>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Turns of {} requests", self.waiting.lock().len())
    }
}

impl Turns {
    pub(super) fn new(writer: Writer) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            is_led: AtomicBool::new(false),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Puts `work` behind all that waits.
    pub(super) fn ask(self: &Arc<Self>, work: Work) {
        let mut waiting = self.waiting.lock();
        // While nothing can be written, requests come and are given up.
        if waiting.len() >= MANY && waiting.len().is_power_of_two() {
            waiting.retain(|work| !work.is_given_up());
        }
        waiting.push_back(work);
        drop(waiting);
        if !self.is_led.swap(true, SeqCst) {
            match Handle::current().runtime_flavor() {
                RuntimeFlavor::MultiThread => {
                    let turns = self.clone();
                    // A disk takes its time, and others have something to do.
                    tokio::spawn(async move { block_in_place(|| turns.lead()) });
                }
                // There is one thread, which may do nothing else before this is done.
                _ => self.lead(),
            }
        }
    }

    pub(super) fn observe(&self, commits: Histogram) {
        if let Some(writer) = self.writer.lock().as_mut() {
            writer.observe(commits);
        }
    }

    fn lead(&self) {
        loop {
            let led = Led(self);
            self.write();
            drop(led);
            if !self.is_asked() || self.is_led.swap(true, SeqCst) {
                return;
            }
        }
    }

    fn is_asked(&self) -> bool {
        !self.waiting.lock().is_empty()
    }

    fn write(&self) {
        if let Some(writer) = self.writer.lock().as_mut() {
            while self.is_asked() {
                writer.write_some(&self.waiting);
            }
        }
    }

    /// Writes everything that waits, and closes the log.
    pub(super) fn end(&self) {
        let Some(mut writer) = self.writer.lock().take() else { return };
        while self.is_asked() {
            writer.write_some(&self.waiting);
        }
        writer.close();
    }
}

/// Somebody is at it, also if it panics, until this is dropped.
struct Led<'a>(&'a Turns);

impl Drop for Led<'_> {
    fn drop(&mut self) {
        self.0.is_led.store(false, SeqCst);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hub::broker::{Broker, Retention};
    use tokio::sync::oneshot;

    use super::*;
    use crate::broker::sqlite::{SqliteBroker, Sync};

    #[tokio::test(flavor = "multi_thread")]
    async fn what_nobody_waits_for_makes_way_while_nothing_can_be_written() {
        let dir = std::env::temp_dir().join(format!("hubbub-turns-{}", uuid::Uuid::new_v4()));
        let broker = SqliteBroker::open(&dir, Retention::default(), Sync::Normal).unwrap();
        {
            let _busy = broker.turns.writer.lock();
            for at in 0..5 * MANY as u64 {
                let (done, _) = oneshot::channel();
                broker.turns.ask(Work::Tidy { at, done });
                assert!(broker.turns.waiting.lock().len() <= MANY);
            }
        }
        broker.tidy(1).await.unwrap();
        assert!(!broker.turns.is_asked());
        drop(broker);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
