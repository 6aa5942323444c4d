//! What all handlers share.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::http::{HeaderMap, Uri};
use common::{Bye, ErrorCode, MemberId, Publish, Refusal, RoomName};
use hub::{Hub, Published, Who};
use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    address::Places,
    clock::now_ms,
    config::{Config, HostName},
    edge,
    identity::{Identity, Visitor},
    issuers::Issuers,
    issuers::Jwks,
    meter::Labs,
    problem::refusal,
    publish_hook::PublishHook,
    rates::Rates,
    rights::{Access, Permit, Right, token_needed},
    roster::Roster,
    session::End,
    store::Store,
    telemetry::{Telemetry, traces::Work},
};

/// How many KiB of long bodies and answers may be under way, in all; one address has an eighth of that.
const IN_FLIGHT_KIB: usize = 64 * 1024;
/// How many KiB of signalling may wait to be taken, in all; one address has an eighth of that.
const MAIL_KIB: usize = 16 * 1024;

/// The parts of a running server; cheap to clone.
pub(crate) type ServerState = Arc<Parts>;

/// The parts of a running server.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The rooms.
    pub hub: Arc<Hub>,
    /// Who is who.
    pub identity: Identity,
    /// What the operator chose.
    pub config: Config,
    /// Turns true when the server stops. Every connection holds a receiver while it lives, so
    /// `closed()` on this is the end of the last one.
    pub stopping: watch::Sender<bool>,
    /// The connections there are, below HTTP.
    pub connections: Arc<Places>,
    /// The sessions there are, whatever they are carried by.
    pub sessions: Arc<Places>,
    /// The sessions of stock Socket.IO clients, below those of the rooms.
    pub engines: Arc<Places>,
    /// The KiB of long bodies and answers that are under way.
    pub in_flight: Arc<Places>,
    /// The KiB of signalling that nobody has taken yet.
    pub mail: Arc<Places>,
    /// Whom bytes are counted for.
    pub labs: Labs,
    /// How much of what somebody may do.
    pub rates: Rates,
    /// What can be watched.
    pub telemetry: Arc<Telemetry>,
    /// Who is connected.
    pub roster: Arc<Roster>,
    /// Who is asked before something is kept.
    pub publish_hook: Option<PublishHook>,
    /// It was said that there is a proxy that was not told.
    has_warned: AtomicBool,
}

impl Parts {
    /// A server that has heard of nobody yet.
    pub(crate) fn new(
        mut config: Config,
        Store { identity, broker, peers }: Store,
        telemetry: Telemetry,
    ) -> Self {
        let certified = config.acme.iter().map(|name| HostName { name: name.clone(), port: None });
        config.hosts.extend(certified);
        let room = edge::room_for(config.connections);
        let each = match config.connections_per_address {
            0 => usize::MAX,
            // However many one has, there is room for others.
            each => each.min(room.div_ceil(2)),
        };
        let places = || Places::new(room, each);
        let telemetry = Arc::new(telemetry);
        let publish_hook =
            config.webhook_secret.clone().filter(|_| !config.publish_hooks.is_empty());
        let publish_hook = publish_hook.map(|secret| {
            let (within, late) = (config.publish_hook_within, config.publish_hook_late);
            PublishHook::new(config.publish_hooks.clone(), secret, within, late, telemetry.clone())
        });
        let identity = identity.trusting(Issuers {
            keys: config.token_keys.clone(),
            jwks: config.jwks.clone().map(|url| Jwks::new(url, config.timing.fetches)),
            audiences: config.token_audiences.clone(),
        });
        Self {
            hub: Hub::among(peers, broker, config.hub.clone()),
            identity,
            connections: places(),
            sessions: places(),
            engines: places(),
            in_flight: Places::new(IN_FLIGHT_KIB, IN_FLIGHT_KIB / 8),
            mail: Places::new(MAIL_KIB, MAIL_KIB / 8),
            labs: Labs::new(),
            rates: Rates::new(&config),
            telemetry,
            roster: Arc::default(),
            publish_hook,
            has_warned: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            config,
        }
    }

    /// What whoever sent a request with these headers may do, in whichever room.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidToken`](common::ErrorCode::InvalidToken) where a token is needed, or the one shown is no good.
    pub(crate) fn permit(&self, headers: &HeaderMap, uri: &Uri) -> Result<Permit, Refusal> {
        let visitor = self.visitor(headers, uri)?;
        if visitor.is_none() && self.config.access == Access::Tokens {
            return Err(token_needed());
        }
        Ok(Permit::new(self.config.access, visitor.and_then(|visitor| visitor.grant)))
    }

    /// Says once that a peer on this machine or its network speaks for others and is not known as a proxy: all of those are
    /// one address then. Anybody can write that header, so of others nothing is said.
    pub(crate) fn warn_of_proxy(&self, peer: IpAddr, headers: &HeaderMap) {
        let is_near = match peer.to_canonical() {
            IpAddr::V4(peer) => peer.is_loopback() || peer.is_private(),
            IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local(),
        };
        let forwards =
            ["x-forwarded-for", "forwarded"].iter().any(|name| headers.contains_key(*name));
        if is_near && forwards && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a proxy forwards requests, and all who come through it are counted as one address; \
                 tell its address with --trusted-proxy"
            );
        }
    }

    /// Who sent such a request, by the token it shows: in its query, its headers, or a cookie.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidToken`] for one that is no good.
    pub(crate) fn visitor(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Option<Visitor>, Refusal> {
        #[derive(Default, Deserialize)]
        struct Shown {
            token: Option<String>,
        }
        let query = uri.query().unwrap_or_default();
        let Shown { token } = serde_urlencoded::from_str(query).unwrap_or_default();
        self.identity.caller(headers, token.as_deref())
    }

    /// Whether `member`, or somebody who has no id yet, may be in `room` by what was decided of both.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::PutOut`], [`ErrorCode::Forbidden`] where the room is closed.
    pub(crate) fn check_rules(
        &self,
        permit: &Permit,
        room: &RoomName,
        member: Option<&MemberId>,
    ) -> Result<(), Refusal> {
        if permit.has(Right::Manage, room) {
            return Ok(());
        }
        let (rules, now) = (self.hub.rules(), now_ms());
        if let Some(until) = member.and_then(|member| rules.out_until(member, room, now)) {
            let seconds = (until - now).div_ceil(1_000);
            let message = format!("you were put out, for another {seconds} seconds");
            return Err(Refusal {
                limit: Some(seconds),
                ..Refusal::new(ErrorCode::PutOut, message)
            });
        }
        if rules.settings(room).closed {
            return Err(Refusal::new(ErrorCode::Forbidden, "this room is closed"));
        }
        Ok(())
    }

    /// Whether one may write in `room`, by right and by what was decided of it.
    ///
    /// # Errors
    ///
    /// As [`Permit::check`], and [`ErrorCode::Forbidden`] where only those who manage the room may write.
    pub(crate) fn check_writing(&self, permit: &Permit, room: &RoomName) -> Result<(), Refusal> {
        permit.check(Right::Write, room)?;
        if self.hub.rules().settings(room).read_only && !permit.has(Right::Manage, room) {
            return Err(Refusal::new(ErrorCode::Forbidden, "this room may only be read now"));
        }
        Ok(())
    }

    /// Whether somebody is asked about what is said in `room`.
    pub(crate) fn has_hook(&self, room: &RoomName) -> bool {
        self.publish_hook.as_ref().is_some_and(|hook| hook.is_of(room))
    }

    /// As [`Parts::has_hook`], by one who may do so much: those who manage the room decide themselves.
    fn asks_about(&self, permit: &Permit, room: &RoomName) -> bool {
        self.has_hook(room) && !permit.has(Right::Manage, room)
    }

    /// Has `messages` kept as `who` says them in `room`, if whoever is asked about them lets them pass.
    ///
    /// # Errors
    ///
    /// Why nothing was kept.
    pub(crate) async fn publish(
        &self,
        permit: &Permit,
        room: &RoomName,
        who: &Who,
        messages: Vec<Publish>,
    ) -> Result<Vec<Published>, Refusal> {
        let span = self.telemetry.traces.begin(Work::Publish);
        span.of_messages(messages.len());
        let published = span.over(self.ask_and_keep(permit, room, who, messages)).await;
        published.inspect_err(|refusal| span.refused(refusal.code))
    }

    async fn ask_and_keep(
        &self,
        permit: &Permit,
        room: &RoomName,
        who: &Who,
        mut messages: Vec<Publish>,
    ) -> Result<Vec<Published>, Refusal> {
        if let Some(hook) = self.publish_hook.as_ref().filter(|_| self.asks_about(permit, room)) {
            // Waiting for its turn, and for the answer, takes a while: what was decided meanwhile holds.
            let still = || {
                permit.check_time()?;
                self.check_rules(permit, room, Some(&who.member.id))?;
                self.check_writing(permit, room)
            };
            still()?;
            messages = hook.decide(room, &who.member, messages).await?;
            still()?;
        }
        let span = self.telemetry.traces.begin(Work::Append);
        let kept = span.over(self.hub.publish_all(room, who, messages, now_ms())).await;
        kept.map_err(refusal).inspect_err(|refusal| span.refused(refusal.code))
    }

    /// Something was decided of a room or a member: every session looks whether it concerns it.
    pub(crate) fn decided(&self) {
        // Whoever waits for a stop looks, too, and waits on.
        self.stopping.send_modify(|_| {});
    }

    /// What one of the sessions is told when it is over.
    pub(crate) fn bye(&self, end: End) -> Bye {
        let reconnect_in_ms = match end {
            End::Stopping => self.reconnect_in_ms(),
            // As it is, it need not come back.
            _ => 0,
        };
        Bye { code: end.code(), reason: end.reason().to_owned(), reconnect_in_ms }
    }

    /// When one of the connections should come back after a restart: each at a time of its own,
    /// spread so that about 500 come in a second, within half a second to half a minute.
    fn reconnect_in_ms(&self) -> u64 {
        let connections = self.sessions.taken() as u64;
        let spread = (connections * 2).clamp(500, 30_000);
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        250 + random % spread
    }
}
