//! Hubbub's server: bytes in and out of the hub, and the site inside the binary.
//!
//! Start at [`Server`], then `routes`, the table of every address. The rule to keep: transports move
//! frames and decide nothing about rooms; who may read what is decided in the hub.

// A view is one deeply nested type.
#![recursion_limit = "256"]

mod acme;
mod address;
pub mod admin;
mod api;
mod body;
mod broker;
pub mod caller;
mod claims;
mod clock;
pub mod config;
mod edge;
mod fetch;
mod fields;
mod host;
mod ice;
pub mod identity;
pub mod issuers;
pub mod lab;
mod lasting;
mod lease;
mod listener;
mod meter;
pub mod mint;
mod nats;
mod origin;
mod pages;
mod peer;
mod problem;
mod publish_hook;
mod qr;
mod rates;
mod restart;
pub mod rights;
mod roster;
mod routes;
pub mod session;
mod settings;
pub mod site;
mod state;
mod store;
mod telemetry;
mod tls;
pub mod transfer;
mod transport;
pub mod webhook;
mod wire;

use std::{
    future::Future,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use hub::{broker::Broker, peers::Peers};
use tokio::{
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout},
};

pub use crate::{
    broker::sqlite::{OpenError, SqliteBroker, Sync},
    config::{Command, Config, LogFormat, Timing},
    listener::{Listen, Listener},
    nats::Nats,
    peer::ProxyHeader,
    publish_hook::Late,
    settings::Settings,
    store::{StartError, on_nats},
};
use crate::{
    identity::Identity,
    state::{Parts, ServerState},
    store::Store,
    telemetry::{Telemetry, traces::Traces},
    webhook::Teller,
};

/// A WebSocket as all of Hubbub's are, for the example that a conformance suite talks to.
#[doc(hidden)]
pub fn tune_websocket(
    upgrade: axum::extract::ws::WebSocketUpgrade,
    most: usize,
) -> axum::extract::ws::WebSocketUpgrade {
    transport::websocket::tune(upgrade, most)
}

/// A server that is ready: its log is open, and nobody can reach it yet.
#[derive(Debug)]
pub struct Server(ServerState);

impl Server {
    /// Opens the log, or makes it: in the data directory, on NATS, or in memory.
    ///
    /// # Errors
    ///
    /// [`StartError`] when it, or the key that tokens are signed with, can't be used.
    pub async fn open(config: Config) -> Result<Self, StartError> {
        let telemetry = Telemetry::new(Traces::of(&config));
        let store = store::open(&config, &telemetry).await?;
        Ok(Self(Arc::new(Parts::new(config, store, telemetry))))
    }

    /// A server over a log of one's own, whose tokens `identity` signs.
    pub fn over(config: Config, identity: Identity, broker: Arc<dyn Broker>) -> Self {
        let telemetry = Telemetry::new(Traces::of(&config));
        Self(Arc::new(Parts::new(config, Store::alone(identity, broker), telemetry)))
    }

    /// As [`Server::over`], one of several hubs of that log: `peers` is its way to the others, whose tokens are signed by the
    /// same `identity`.
    pub fn among(
        config: Config,
        identity: Identity,
        broker: Arc<dyn Broker>,
        peers: Arc<dyn Peers>,
    ) -> Self {
        let telemetry = Telemetry::new(Traces::of(&config));
        let store = Store { identity, broker, peers: Some(peers) };
        Self(Arc::new(Parts::new(config, store, telemetry)))
    }

    /// All its addresses, to be served by other means than [`Server::serve`].
    pub fn router(&self) -> axum::Router {
        routes::router(self.0.clone())
    }

    /// Lets clients in by a transport of one's own.
    pub fn door(&self) -> caller::Door {
        caller::Door(self.0.clone())
    }

    /// Tidies up in memory, and tells other hubs that this one is there: to be called each second, where it is served by other
    /// means than [`Server::serve`].
    pub fn sweep(&self) {
        sweep(&self.0);
    }

    /// Serves on `listener` until `stop` is done; then tells every connection, waits for them at most
    /// [`Timing::drain`], and returns.
    ///
    /// # Errors
    ///
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: impl Into<Listener>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let Self(server) = self;
        let listener = listener.into();
        server.hub.load().await.map_err(io::Error::other)?;
        // Behind it, for a room may hide who is in it.
        if server.config.uses_data() {
            restart::welcome(&server.config.data, &server.hub);
        }
        let drain = server.config.timing.drain;
        let sweepers = [tokio::spawn(sweep_on(server.clone())), tokio::spawn(tidy(server.clone()))];
        let deciding = tokio::spawn(look_at_decisions(server.clone()));
        let keys = server.identity.jwks().map(|jwks| tokio::spawn(jwks.keep_fresh()));
        let certificate = listener.certificate.clone().map(|certificate| {
            let expires = server.telemetry.certificate.clone();
            tokio::spawn(certificate.keep_fresh(server.config.timing, expires))
        });

        let (mut hooks, mut tellers) = (Vec::new(), Vec::new());
        for (hook, secret) in
            server.config.webhooks.iter().zip(server.config.webhook_secret.iter().cycle())
        {
            let teller = Teller::new(server.clone(), hook.clone(), secret.clone()).await;
            hooks.push(tokio::spawn(teller.clone().tell_rooms()));
            hooks.extend(teller.shards().map(|shard| tokio::spawn(shard.tell_all())));
            tellers.push(teller);
        }

        let app = routes::router(server.clone());
        let accepting = tokio::spawn(edge::serve(server.clone(), listener, app)?);
        stop.await;
        tracing::info!("stopping");
        // Whoever asks whether it is ready hears so before newcomers are refused.
        server.telemetry.is_leaving.store(true, Ordering::Relaxed);
        sleep(server.config.drain_delay).await;
        server.stopping.send_replace(true);
        // The listener is closed with it; the connections end by themselves.
        let _ = accepting.await;
        if timeout(drain, server.stopping.closed()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        sweepers.iter().for_each(JoinHandle::abort);
        deciding.abort();
        keys.inspect(JoinHandle::abort);
        certificate.inspect(JoinHandle::abort);
        hooks.iter().for_each(JoinHandle::abort);
        // Where that can't be said it is another's after a while.
        let _ = timeout(drain, join_all(tellers.into_iter().map(Teller::leave))).await;
        if server.config.uses_data() {
            restart::leave(&server.config.data, &server.hub);
        }
        server.telemetry.traces.close().await;
        Ok(())
    }
}

/// Has every session look when something was decided, here or at another hub.
async fn look_at_decisions(server: ServerState) {
    let mut changes = server.hub.rules().changes();
    while changes.changed().await.is_ok() {
        server.decided();
    }
}

/// Ticks that are late put off those behind them.
fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// Tidies up in memory, and tells other hubs that this one is there: it waits for nobody.
fn sweep(server: &ServerState) {
    server.hub.sweep(Instant::now().into_std(), clock::now_ms());
    server.telemetry.sort_in();
}

async fn sweep_on(server: ServerState) {
    let mut second = every(Duration::from_secs(1));
    loop {
        second.tick().await;
        sweep(&server);
    }
}

async fn tidy(server: ServerState) {
    let mut minute = every(Duration::from_secs(60));
    loop {
        minute.tick().await;
        server.rates.forget_idle();
        if let Err(error) = server.hub.tidy(clock::now_ms()).await {
            tracing::warn!(%error, "can't tidy the log; trying again in a minute");
        }
    }
}
