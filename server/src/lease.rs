//! What one hub of a log does for all of them: whose turn that is.

use std::{sync::Arc, time::Duration};

use hub::broker::LEASE;
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep},
};

use crate::state::ServerState;

/// How often it is asked for again.
const RENEW: Duration = Duration::from_secs(2);

/// A lease that is renewed as long as there is anybody who has this.
#[derive(Clone)]
pub(crate) struct Lease {
    server: ServerState,
    name: String,
    /// Until when it is this hub's.
    until: watch::Receiver<Option<Instant>>,
    renewing: Arc<Renewing>,
}

#[derive(Debug)]
struct Renewing(AbortHandle);

impl Drop for Renewing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lease {
    /// Asks for it once, and then again and again.
    pub(crate) async fn new(server: ServerState, name: String) -> Self {
        let (tell, until) = watch::channel(None);
        renew(&server, &name, &tell).await;
        let (of, called) = (server.clone(), name.clone());
        let renewing = tokio::spawn(async move {
            loop {
                sleep(RENEW).await;
                renew(&of, &called, &tell).await;
            }
        });
        let renewing = Arc::new(Renewing(renewing.abort_handle()));
        Self { server, name, until, renewing }
    }

    /// Whether it is this hub's now.
    pub(crate) fn is_held(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Gives it up, so that another hub has it at once.
    pub(crate) async fn give_up(self) {
        self.renewing.0.abort();
        if self.is_held()
            && let Err(error) = self.server.hub.broker().give_up(&self.name).await
        {
            tracing::warn!(%error, "another hub tells a webhook in a while only");
        }
    }

    /// Waits until it is this hub's.
    pub(crate) async fn held(&self) {
        let mut until = self.until.clone();
        let is_held = |until: &Option<Instant>| until.is_some_and(|until| Instant::now() < until);
        // Without anybody who renews it nothing is waited for either.
        let _ = until.wait_for(is_held).await;
    }
}

async fn renew(server: &ServerState, name: &str, tell: &watch::Sender<Option<Instant>>) {
    let asked = Instant::now();
    match server.hub.broker().lease(name).await {
        Ok(true) => _ = tell.send_replace(Some(asked + LEASE)),
        Ok(false) => _ = tell.send_replace(None),
        // It ends by itself, unless it can be had again before.
        Err(error) => tracing::warn!(%error, "it is not known which hub tells a webhook"),
    }
}
