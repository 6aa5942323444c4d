//! The way in to a hub: its real handlers, and its real sessions, of which a WebSocket is one.

use std::net::SocketAddr;

use axum::{
    Router,
    body::{Body, BodyDataStream, to_bytes},
    extract::connect_info::MockConnectInfo,
    http::{HeaderMap, Method, Request, header},
};
use client::Transport;
use futures_util::{FutureExt, future::BoxFuture};
use server::{
    caller::{Door, Entrance},
    session::{Session, Wants},
};
use tower::ServiceExt;

use super::network::End;

/// The way in to a hub that is up.
#[derive(Clone)]
pub struct Far {
    pub door: Door,
    router: Router,
}

impl Far {
    pub fn new(server: &server::Server) -> Self {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        Self { door: server.door(), router: server.router().layer(MockConnectInfo(peer)) }
    }

    /// Asks, as HTTP does: the status, whether it is a problem, and the body.
    pub fn ask(&self, method: Method, url: &str, body: String) -> BoxFuture<'static, Reply> {
        let request = Request::builder()
            .header(header::HOST, "hub")
            .method(method)
            .uri(path(url))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        let router = self.router.clone();
        async move {
            let response = router.oneshot(request).await.unwrap();
            let kind = response.headers().get(header::CONTENT_TYPE);
            let problem =
                kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem"));
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            Reply { status, problem, body: String::from_utf8(body.to_vec()).unwrap() }
        }
        .boxed()
    }

    /// Opens a connection; there is none if it is refused.
    pub async fn open(self, transport: Transport, url: String) -> End {
        let opened = match transport {
            Transport::WebSocket => self.session(&url).await.map(|it| End::Session(Box::new(it))),
            _ => self.stream(&url).await.map(|body| End::Stream(body, String::new())),
        };
        opened.unwrap_or(End::None)
    }

    /// Opens an event stream; `None` if it is refused.
    async fn stream(&self, url: &str) -> Option<BodyDataStream> {
        let request = Request::get(path(url)).header(header::HOST, "hub");
        let request = request.body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        response.status().is_success().then(|| response.into_body().into_data_stream())
    }

    /// Opens a WebSocket; `None` if it is refused.
    async fn session(&self, url: &str) -> Option<Session> {
        let query: Vec<(String, String)> =
            serde_urlencoded::from_str(url.split_once('?').unwrap().1).unwrap();
        let find =
            |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let [room, after, session, token] = ["room", "after", "session", "token"].map(find);
        let entrance = Entrance { room, after, session, token, fields: None };
        let caller = self.door.admit(&HeaderMap::new(), None, entrance).ok()?;
        Session::enter(caller, Wants::Everything).await.ok()
    }
}

pub struct Reply {
    pub status: u16,
    pub problem: bool,
    pub body: String,
}

/// The path and the query of an address.
fn path(url: &str) -> &str {
    url.strip_prefix("http://hub").unwrap()
}
