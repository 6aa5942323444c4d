//! The pages, rendered here, and the forms on them, which work without JavaScript.

use std::{
    io::{self, Write},
    net::SocketAddr,
};

use app::{
    base,
    lang::Lang,
    names::fresh_name,
    page::{
        ASKED_COOKIE, LabView, Me, Page, PageData, Refused, RoomCard, RoomView, SearchView, Theme,
        ZONE_COOKIE, Zone, room_path, search_path,
    },
};
use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use common::{ErrorCode, MemberName, MessageId, Offset, Refusal, RoomName};
use flate2::{Compression, write::GzEncoder};
use hub::{HubError, Query, RoomSummary, Who};
use lab::Plan;
use leptos::{
    config::LeptosOptions,
    context::{provide_context, use_context},
    nonce::use_nonce,
};
use leptos_axum::ResponseOptions;
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    address::Address,
    body::whole,
    clock::now_ms,
    ice,
    identity::{Visitor, cookie, lasting_cookie, own_origin},
    origin,
    problem::Problem,
    rights::{Access, Permit, Right, token_needed},
    site,
    state::ServerState,
};

/// How many rooms the home page lists.
const LISTED: usize = 100;
/// Of how many the last words are shown, and how much of them, in characters.
const QUOTED: usize = 12;
const EXCERPT: usize = 120;
/// How many messages a room's page is rendered with.
const RENDERED: usize = 100;
/// How many messages a page of what was found has.
const FOUND: usize = 50;
/// The longest form of settings, in bytes.
const SETTINGS_BYTES: usize = 4 * 1024;
/// How long a preference is kept, in seconds: a year.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// Who asks for a page, and how they like it.
pub(crate) struct Asker {
    visitor: Visitor,
    /// What it may do; nothing, where a token is needed and there is none.
    permit: Option<Permit>,
    /// The `Set-Cookie` that is due.
    cookie: Option<HeaderValue>,
    lang: Lang,
    theme: Theme,
    zone: Zone,
    asked: bool,
    takes_gzip: bool,
}

impl Asker {
    fn of(server: &ServerState, headers: &HeaderMap) -> Self {
        let access = server.config.access;
        let known = server.identity.visitor(headers);
        let grants = |(visitor, _): &(Visitor, bool)| {
            visitor.grant.as_ref().is_some_and(|grant| !grant.rights.are_none())
        };
        let may_come = access == Access::Open || known.as_ref().is_some_and(grants);
        let (visitor, due) = known.unwrap_or_else(|| (Visitor::guest(), true));
        let due = (due && may_come).then(|| server.identity.set_cookie(headers, &visitor));
        let permit = may_come.then(|| Permit::new(access, visitor.grant.clone()));
        let accepts = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let lang = cookie(headers, "hubbub_lang").and_then(|tag| Lang::parse(&tag));
        let theme = cookie(headers, "hubbub_theme").and_then(|word| Theme::parse(&word));
        let zone = cookie(headers, ZONE_COOKIE).and_then(|minutes| Zone::parse(&minutes));
        Self {
            visitor,
            permit,
            cookie: due,
            lang: lang.unwrap_or_else(|| Lang::negotiate(accepts.unwrap_or_default())),
            theme: theme.unwrap_or_default(),
            zone: zone.unwrap_or(Zone::Utc),
            asked: cookie(headers, ASKED_COOKIE).is_some(),
            takes_gzip: site::accepts(headers, "gzip"),
        }
    }

    /// Whether this person may read `room`, by right and by what was decided.
    fn may_read(&self, server: &ServerState, room: &RoomName) -> bool {
        self.permit.as_ref().is_some_and(|permit| {
            permit.has(Right::Read, room)
                && server.check_rules(permit, room, Some(&self.visitor.id)).is_ok()
        })
    }

    /// The page instead of one about `room`, for whoever may not read there.
    ///
    /// # Errors
    ///
    /// This person again, if they may.
    async fn turn_away(
        self,
        server: &ServerState,
        room: &RoomName,
        path: String,
    ) -> Result<Response, Self> {
        match &self.permit {
            _ if self.may_read(server, room) => Err(self),
            Some(permit) if permit.knows(room) => {
                Ok(self.locked(StatusCode::FORBIDDEN, path, None).await)
            }
            Some(_) => Ok(self.page(StatusCode::NOT_FOUND, path, Page::NotFound).await),
            None => Ok(self.locked(StatusCode::UNAUTHORIZED, path, None).await),
        }
    }

    /// The page that asks for a token.
    async fn locked(self, status: StatusCode, path: String, refused: Option<Refusal>) -> Response {
        self.page(status, path, Page::Locked { refused }).await
    }

    /// Renders `page` at `path` for this person.
    async fn page(self, status: StatusCode, path: String, page: Page) -> Response {
        let named = self.visitor.name.is_some();
        let me = Me { member: self.visitor.member(), named, asked: named || self.asked };
        let data = PageData { lang: self.lang, theme: self.theme, zone: self.zone, me, path, page };
        // Of what is packed together with other people's words the length tells something (BREACH).
        let pack = self.takes_gzip && !data.page.has_secrets();
        let mut response = render(data, pack).await;
        *response.status_mut() = status;
        let headers = response.headers_mut();
        // A page is for one person and one moment.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::VARY,
            HeaderValue::from_static("accept-encoding, cookie, accept-language"),
        );
        if let Some(cookie) = self.cookie {
            headers.append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// `GET /`: the rooms there are.
pub(crate) async fn home(State(server): State<ServerState>, headers: HeaderMap) -> Response {
    home_page(&server, &headers, StatusCode::OK, None).await
}

async fn home_page(
    server: &ServerState,
    headers: &HeaderMap,
    status: StatusCode,
    refused: Option<Refused>,
) -> Response {
    let asker = Asker::of(server, headers);
    if asker.permit.is_none() {
        return asker.locked(StatusCode::UNAUTHORIZED, base::path("/"), None).await;
    }
    let who = Who { session: None, member: asker.visitor.member(), guest_from: None };
    // A home page without rooms is better than none.
    let mut rooms = Vec::new();
    let listed = server.hub.rooms(LISTED, |room| asker.may_read(server, room)).await;
    for room in listed.unwrap_or_default() {
        let last = match rooms.len() < QUOTED && room.last_at > 0 {
            true => last_said(server, &who, &room.name).await,
            false => None,
        };
        let RoomSummary { name, members, last_at } = room;
        rooms.push(RoomCard { name, members, last_at, last });
    }
    let fresh = fresh_name(asker.lang, Uuid::new_v4().as_u128());
    let page = Page::Home { rooms, fresh, refused };
    asker.page(status, base::path("/"), page).await
}

/// `GET /admin`: how the hub is, for whoever may manage all rooms.
pub(crate) async fn admin(State(server): State<ServerState>, headers: HeaderMap) -> Response {
    let (asker, path) = (Asker::of(&server, &headers), base::path("/admin"));
    match &asker.permit {
        Some(permit) if permit.check_everywhere(Right::Manage).is_ok() => {
            asker.page(StatusCode::OK, path, Page::Admin).await
        }
        Some(_) => asker.locked(StatusCode::FORBIDDEN, path, None).await,
        None => asker.locked(StatusCode::UNAUTHORIZED, path, None).await,
    }
}

/// Who said what last in a room, of what this person may read.
async fn last_said(server: &ServerState, who: &Who, room: &RoomName) -> Option<(String, String)> {
    let latest = server.hub.latest(room, who, None, 1).await.ok()?;
    let last = latest.records.last()?.message()?;
    let text = last.text();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Some((last.from.name.to_string(), words.chars().take(EXCERPT).collect()))
}

/// `GET /rooms?room=`: goes to the room of that name.
pub(crate) async fn open_room(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct OpenRoom {
        room: String,
    }
    let query = uri.query().unwrap_or_default();
    let OpenRoom { room } = form(query.as_bytes()).unwrap_or_default();
    match RoomName::parse(&room) {
        Ok(room) => Redirect::to(&room_path(&room)).into_response(),
        Err(refusal) => {
            let status = Problem(refusal.clone()).status();
            home_page(&server, &headers, status, Some(Refused { refusal, text: room })).await
        }
    }
}

/// What a room's page shows of the room.
#[derive(Clone, Copy)]
pub(crate) enum Shows {
    /// The newest messages.
    Newest,
    /// Those before an offset.
    Before(Offset),
    /// Those around the one at an offset.
    Around(Offset),
}

impl Shows {
    /// What is asked for; what can't be read asks for nothing.
    fn read(pairs: &[(String, String)]) -> Self {
        let offset = |name| {
            let (_, offset) = pairs.iter().find(|(known, _)| known == name)?;
            offset.parse().ok().map(Offset)
        };
        match (offset("at"), offset("before")) {
            (Some(at), _) => Self::Around(at),
            (None, Some(before)) => Self::Before(before),
            (None, None) => Self::Newest,
        }
    }
}

/// `GET /rooms/{room}?before=&at=`: the room, with its newest messages, those before an offset, or those around one.
pub(crate) async fn room(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
    room: Result<Path<String>, PathRejection>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
) -> Response {
    let pairs: Vec<(String, String)> =
        form(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    match room.ok().and_then(|Path(room)| RoomName::parse(&room).ok()) {
        Some(room) if pairs.iter().any(|(name, _)| name == "q") => {
            let address = peer.map(|Extension(ConnectInfo(peer))| peer.ip().into());
            search_page(&server, &headers, address, room, &pairs).await
        }
        Some(room) => {
            let shows = Shows::read(&pairs);
            room_page(&server, &headers, StatusCode::OK, room, shows, None).await
        }
        None => not_found(State(server), headers, uri).await,
    }
}

pub(crate) async fn room_page(
    server: &ServerState,
    headers: &HeaderMap,
    status: StatusCode,
    room: RoomName,
    shows: Shows,
    refused: Option<Refused>,
) -> Response {
    let asker = match Asker::of(server, headers).turn_away(server, &room, room_path(&room)).await {
        Ok(response) => return response,
        Err(asker) => asker,
    };
    let may_write =
        asker.permit.as_ref().is_some_and(|permit| server.check_writing(permit, &room).is_ok());
    let who = Who { session: None, member: asker.visitor.member(), guest_from: None };
    let stretch = match shows {
        Shows::Newest => server.hub.latest(&room, &who, None, RENDERED).await,
        Shows::Before(before) => server.hub.latest(&room, &who, Some(before), RENDERED).await,
        Shows::Around(at) => server.hub.around(&room, &who, at, RENDERED / 2).await,
    };
    let stretch = match stretch {
        Ok(stretch) => stretch,
        Err(error) => return Problem::from(HubError::from(error)).into_response(),
    };
    // Around a message it is not the newest that comes; the page reads on up to that.
    let newest = match shows {
        Shows::Newest => None,
        _ => server.hub.latest(&room, &who, None, 1).await.ok(),
    };
    let head = newest.as_ref().unwrap_or(&stretch).position.offset;
    let messages: Vec<_> = stretch.records.iter().filter_map(|record| record.message()).collect();
    let is_there = |at| messages.iter().any(|message| message.offset == at);
    let view = RoomView {
        origin: own_origin(headers),
        missing: matches!(shows, Shows::Around(at) if !is_there(at)),
        messages,
        older: stretch.older,
        past: !matches!(shows, Shows::Newest),
        read_only: !may_write,
        position: stretch.position,
        head,
        members: server.hub.members(&room).await.unwrap_or_default(),
        form_id: MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a message id"),
        refused,
        ice: ice::of(&server.config, &who.member.id, now_ms()),
        room,
    };
    let path = room_path(&view.room);
    asker.page(status, path, Page::Room(view.into())).await
}

/// What `q` finds in a room, before an offset if there is one.
async fn search_page(
    server: &ServerState,
    headers: &HeaderMap,
    address: Option<Address>,
    room: RoomName,
    pairs: &[(String, String)],
) -> Response {
    let of = |name| pairs.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    let text = of("q").unwrap_or_default().to_owned();
    let before = of("before").and_then(|offset| offset.parse().ok().map(Offset));
    let path = search_path(&room, &text, before);
    let asker = match Asker::of(server, headers).turn_away(server, &room, path).await {
        Ok(response) => return response,
        Err(asker) => asker,
    };
    let mut view = SearchView { room, query: text, messages: vec![], before: None, refused: None };
    let mut status = StatusCode::OK;
    if !view.query.trim().is_empty() {
        let who = Who { session: None, member: asker.visitor.member(), guest_from: None };
        match server.rates.search(address).and_then(|()| Query::parse(&view.query)) {
            Ok(query) => {
                let found = server.hub.search(&view.room, &who, &query, before, FOUND).await;
                match found {
                    Ok(found) => {
                        let records = found.records.iter();
                        view.messages = records.filter_map(|record| record.message()).collect();
                        view.before = found.before;
                    }
                    Err(error) => return Problem::from(HubError::from(error)).into_response(),
                }
            }
            Err(refusal) => {
                status = Problem(refusal.clone()).status();
                view.refused = Some(Refused { refusal, text: view.query.clone() });
            }
        }
    }
    let path = search_path(&view.room, &view.query, before);
    asker.page(status, path, Page::Search(view.into())).await
}

/// `GET /lab`: the lab, with what its address asks for filled in.
pub(crate) async fn lab(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let asker = Asker::of(&server, &headers);
    if asker.permit.is_none() {
        return asker.locked(StatusCode::UNAUTHORIZED, base::path("/lab"), None).await;
    }
    let query = uri.query().unwrap_or_default();
    let pairs: Vec<(String, String)> = form(query.as_bytes()).unwrap_or_default();
    let of = |name| pairs.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
    let (plan, clamped) = Plan::read(pairs.iter().map(|(name, value)| (&**name, &**value)));
    let is_code = |code: &&str| code.len() <= 16 && code.bytes().all(|b| b.is_ascii_alphanumeric());
    let code = of("with").filter(|code| !code.is_empty()).filter(is_code);
    let view = LabView {
        plan,
        clamped,
        meeting: code.and_then(|code| RoomName::parse(&format!("lab-{code}")).ok()),
        recorded: lab::recorded(),
        ice: ice::of(&server.config, &asker.visitor.member().id, now_ms()),
    };
    // Back from the form of preferences it is the same race that is asked for.
    let path = uri.path_and_query().map(|path| base::path(path.as_str()));
    let path = own_path(path.as_deref());
    let mut response = asker.page(StatusCode::OK, path, Page::Lab(view.into())).await;
    // Alone in its process, a page has a finer clock (High Resolution Time, section 4.1; HTML, section 7.1.3).
    const ALONE: [(HeaderName, HeaderValue); 2] = [
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("cross-origin-embedder-policy"),
            HeaderValue::from_static("require-corp"),
        ),
    ];
    response.headers_mut().extend(ALONE);
    response
}

/// There is no such page.
pub(crate) async fn not_found(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let path = own_path(Some(&base::path(uri.path())));
    Asker::of(&server, &headers).page(StatusCode::NOT_FOUND, path, Page::NotFound).await
}

/// `POST /settings`: `token`, `name`, `lang`, `theme`, each kept in a cookie; then `back` to where one was.
pub(crate) async fn settings(
    State(server): State<ServerState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    struct Settings {
        token: Option<String>,
        name: Option<String>,
        lang: Option<String>,
        theme: Option<String>,
        back: Option<String>,
    }
    origin::check_own(&headers, &server.config)?;
    let body = whole(&server, None, body, SETTINGS_BYTES).await?;
    let settings: Settings = form(&body)?;
    let mut cookies = Vec::new();
    if let Some(token) = settings.token {
        match server.identity.bearer(token.trim()) {
            // Whoever follows a link is to gain something by it, and not only to become somebody else.
            Ok(visitor) if visitor.grant.as_ref().is_none_or(|grant| grant.rights.are_none()) => {
                return Err(Refusal::field("token", "`token` grants nothing").into());
            }
            Ok(visitor) => cookies.push(server.identity.set_cookie(&headers, &visitor)),
            Err(refusal) if wants_page(&headers) => {
                let (asker, back) =
                    (Asker::of(&server, &headers), own_path(settings.back.as_deref()));
                return Ok(asker.locked(StatusCode::UNAUTHORIZED, back, Some(refusal)).await);
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    if let Some(name) = settings.name {
        let Asker { visitor, permit, .. } = Asker::of(&server, &headers);
        permit.ok_or_else(token_needed)?;
        let visitor = Visitor { name: Some(MemberName::parse(&name)?), ..visitor };
        cookies.push(server.identity.set_cookie(&headers, &visitor));
    }
    if let Some(lang) = settings.lang {
        let lang = Lang::parse(&lang)
            .ok_or_else(|| Refusal::field("lang", "`lang` is neither `ko` nor `en`"))?;
        cookies.push(lasting_cookie("hubbub_lang", lang.tag(), YEAR, ""));
    }
    if let Some(theme) = settings.theme {
        let theme = Theme::parse(&theme).ok_or_else(|| {
            Refusal::field("theme", "`theme` is none of `system`, `light`, `dark`")
        })?;
        cookies.push(lasting_cookie("hubbub_theme", theme.as_str(), YEAR, ""));
    }
    let mut response = match wants_page(&headers) {
        true => Redirect::to(&own_path(settings.back.as_deref())).into_response(),
        false => StatusCode::NO_CONTENT.into_response(),
    };
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Reads a form.
///
/// # Errors
///
/// [`common::ErrorCode::InvalidField`] for `body`, with what is wrong.
pub(crate) fn form<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Refusal> {
    serde_urlencoded::from_bytes(bytes)
        .map_err(|error| Refusal::field("body", format!("the form can't be read: {error}")))
}

/// Whether a person's browser asks, rather than a program.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// `path` if it is one of ours: a redirect must not lead to another site.
fn own_path(path: Option<&str>) -> String {
    let own = path.filter(|path| {
        path.starts_with('/') && !path.starts_with("//") && !path.contains(['\\', '\r', '\n', '\t'])
    });
    own.and_then(|path| path.parse::<Uri>().ok())
        .map_or_else(|| base::path("/"), |uri| uri.to_string())
}

/// Renders a page, with the policy that lets only its own scripts run.
async fn render(data: PageData, packed: bool) -> Response {
    let options = options();
    let watched = std::env::var_os("LEPTOS_WATCH").is_some();
    // Whole, not in parts: what is on it is already here, so there is nothing to wait for.
    let render = leptos_axum::render_app_async_with_context(
        move || {
            provide_context(data.clone());
            let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>())
            else {
                return;
            };
            if let Ok(policy) = HeaderValue::from_str(&content_security_policy(&nonce, watched)) {
                response.insert_header(header::CONTENT_SECURITY_POLICY, policy);
            }
        },
        move || app::shell(options.clone()),
    );
    let (mut parts, body) = render(axum::http::Request::new(Body::empty())).await.into_parts();
    // It is there; as one piece it has a length, and is counted against what may be unread.
    let page = to_bytes(body, usize::MAX).await;
    let page = match page {
        Ok(page) if packed => {
            parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            pack(&page).map(Body::from).map_err(axum::Error::new)
        }
        page => page.map(Body::from),
    };
    match page {
        Ok(page) => Response::from_parts(parts, page),
        Err(error) => {
            tracing::error!(%error, "a page was not rendered");
            let message = "the page could not be rendered";
            Problem(Refusal::new(ErrorCode::Internal, message)).into_response()
        }
    }
}

/// Packs a page, quickly rather than well: it is used once.
fn pack(page: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = GzEncoder::new(Vec::with_capacity(page.len() / 4), Compression::fast());
    packed.write_all(page)?;
    packed.finish()
}

/// [Content Security Policy 3](https://www.w3.org/TR/CSP3/).
fn content_security_policy(nonce: &str, watched: bool) -> String {
    // `cargo leptos watch` reloads the page over a socket of its own.
    let reload = if watched { " ws://127.0.0.1:3001 ws://localhost:3001" } else { "" };
    format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic' 'wasm-unsafe-eval'; \
         style-src 'self'; img-src 'self' data:; media-src 'self'; connect-src 'self'{reload}; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// As `cargo leptos` says while it watches, else what the binary was built with.
fn options() -> LeptosOptions {
    let watched = std::env::var_os("LEPTOS_WATCH").is_some();
    let from_environment = || leptos::config::get_configuration(None).ok();
    watched.then(from_environment).flatten().map_or_else(
        || {
            // It is put behind a slash.
            let pkg = format!("{}/{}", base::base(), site::PKG.as_str());
            let pkg = pkg.trim_start_matches('/');
            LeptosOptions::builder().output_name("hubbub").site_pkg_dir(pkg).build()
        },
        |c| c.leptos_options,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_never_leads_to_another_site() {
        assert_eq!(own_path(Some("/rooms/tea")), "/rooms/tea");
        for bad in ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb"] {
            assert_eq!(own_path(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(own_path(None), "/");
    }
}
