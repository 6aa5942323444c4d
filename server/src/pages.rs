//! The pages, rendered here, and the forms on them, which work without JavaScript.

use std::io::{self, Write};

use app::{
    lang::Lang,
    page::{
        LabView, Me, Page, PageData, Refused, RoomCard, RoomView, Theme, ZONE_COOKIE, Zone,
        room_path,
    },
};
use axum::{
    body::{Body, to_bytes},
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use common::{ErrorCode, MemberName, MessageId, Offset, Refusal, RoomName};
use flate2::{Compression, write::GzEncoder};
use hub::{HubError, Who};
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
    body::whole,
    clock::now_ms,
    ice,
    identity::{Visitor, cookie, lasting_cookie},
    origin,
    problem::Problem,
    site,
    state::ServerState,
};

/// How many rooms the home page lists.
const LISTED: usize = 100;
/// How many messages a room's page is rendered with.
const RENDERED: usize = 100;
/// The longest form of settings, in bytes.
const SETTINGS_BYTES: usize = 4 * 1024;
/// How long a preference is kept, in seconds: a year.
const YEAR: u64 = 365 * 24 * 60 * 60;

/// Who asks for a page, and how they like it.
pub(crate) struct Asker {
    visitor: Visitor,
    /// The `Set-Cookie` that is due.
    cookie: Option<HeaderValue>,
    lang: Lang,
    theme: Theme,
    zone: Zone,
    takes_gzip: bool,
}

impl Asker {
    fn of(server: &ServerState, headers: &HeaderMap) -> Self {
        let known = server.identity.visitor(headers);
        let (visitor, due) = known.unwrap_or_else(|| (Visitor::guest(), true));
        let due = due.then(|| server.identity.set_cookie(headers, &visitor));
        let accepts = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let lang = cookie(headers, "hubbub_lang").and_then(|tag| Lang::parse(&tag));
        let theme = cookie(headers, "hubbub_theme").and_then(|word| Theme::parse(&word));
        let zone = cookie(headers, ZONE_COOKIE).and_then(|minutes| Zone::parse(&minutes));
        Self {
            visitor,
            cookie: due,
            lang: lang.unwrap_or_else(|| Lang::negotiate(accepts.unwrap_or_default())),
            theme: theme.unwrap_or_default(),
            zone: zone.unwrap_or(Zone::Utc),
            takes_gzip: site::accepts(headers, "gzip"),
        }
    }

    /// Renders `page` at `path` for this person.
    async fn page(self, status: StatusCode, path: String, page: Page) -> Response {
        let me = Me { member: self.visitor.member(), named: self.visitor.name.is_some() };
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
    // A home page without rooms is better than none.
    let rooms = server.hub.rooms(LISTED).await.unwrap_or_default();
    let rooms = rooms
        .into_iter()
        .map(|room| RoomCard { name: room.name, members: room.members, last_at: room.last_at })
        .collect();
    let page = Page::Home { rooms, refused };
    Asker::of(server, headers).page(status, "/".to_owned(), page).await
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

/// `GET /rooms/{room}?before=`: the room, with its newest messages or those before an offset.
pub(crate) async fn room(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
    room: Result<Path<String>, PathRejection>,
) -> Response {
    let pairs: Vec<(String, String)> =
        form(uri.query().unwrap_or_default().as_bytes()).unwrap_or_default();
    // What can't be read asks for nothing.
    let before = pairs.iter().find(|(name, _)| name == "before");
    let before = before.and_then(|(_, offset)| offset.parse().ok().map(Offset));
    match room.ok().and_then(|Path(room)| RoomName::parse(&room).ok()) {
        Some(room) => room_page(&server, &headers, StatusCode::OK, room, before, None).await,
        None => not_found(State(server), headers, uri).await,
    }
}

pub(crate) async fn room_page(
    server: &ServerState,
    headers: &HeaderMap,
    status: StatusCode,
    room: RoomName,
    before: Option<Offset>,
    refused: Option<Refused>,
) -> Response {
    let asker = Asker::of(server, headers);
    let who = Who { session: None, member: asker.visitor.member(), guest_from: None };
    let latest = match server.hub.latest(&room, &who, before, RENDERED).await {
        Ok(latest) => latest,
        Err(error) => return Problem::from(HubError::from(error)).into_response(),
    };
    let view = RoomView {
        messages: latest.records.iter().filter_map(|record| record.message()).collect(),
        older: latest.older,
        past: before.is_some(),
        position: latest.position,
        members: server.hub.members(&room),
        form_id: MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a message id"),
        refused,
        ice: ice::of(&server.config, &who.member.id, now_ms()),
        room,
    };
    let path = room_path(&view.room);
    asker.page(status, path, Page::Room(view.into())).await
}

/// `GET /lab`: the lab, with what its address asks for filled in.
pub(crate) async fn lab(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let asker = Asker::of(&server, &headers);
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
    let path = own_path(uri.path_and_query().map(|path| path.as_str()));
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
    let path = own_path(Some(uri.path()));
    Asker::of(&server, &headers).page(StatusCode::NOT_FOUND, path, Page::NotFound).await
}

/// `POST /settings`: `name`, `lang`, `theme`, each kept in a cookie; then `back` to where one was.
pub(crate) async fn settings(
    State(server): State<ServerState>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    #[derive(Deserialize)]
    struct Settings {
        name: Option<String>,
        lang: Option<String>,
        theme: Option<String>,
        back: Option<String>,
    }
    origin::check(&headers, &[])?;
    let body = whole(&server, None, body, SETTINGS_BYTES).await?;
    let settings: Settings = form(&body)?;
    let mut cookies = Vec::new();
    if let Some(name) = settings.name {
        let visitor = Asker::of(&server, &headers).visitor;
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
    own.and_then(|path| path.parse::<Uri>().ok()).map_or("/".to_owned(), |uri| uri.to_string())
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
         style-src 'self'; img-src 'self' data:; connect-src 'self'{reload}; manifest-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}

/// As `cargo leptos` says while it watches, else what the binary was built with.
fn options() -> LeptosOptions {
    let watched = std::env::var_os("LEPTOS_WATCH").is_some();
    let from_environment = || leptos::config::get_configuration(None).ok();
    watched.then(from_environment).flatten().map_or_else(
        || LeptosOptions::builder().output_name("hubbub").site_pkg_dir(site::PKG.as_str()).build(),
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
