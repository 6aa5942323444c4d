//! The document around every page, and what picks the page.

use std::sync::Arc;

use leptos::{html, prelude::*};

use crate::{
    base::{self, base},
    browser,
    hues::provide_hues,
    lang::Strings,
    page::{Page, PageData, Theme, ZONE_COOKIE, Zone},
    pages::{AdminPage, HomePage, LabPage, LockedPage, NotFoundPage, RoomPage, SearchPage},
};

/// Shows what is shown when a page has stopped, or can't come alive: the only code that runs when WebAssembly can't. A script
/// that does not come is an error of its element, a wasm file that does not is a promise that nobody takes back.
const WATCHDOG: &str = "(function(){\
    function stop(){var s=document.getElementById('stopped');if(s)s.hidden=false;else addEventListener('DOMContentLoaded',stop)}\
    addEventListener('error',function(e){\
    if((e.target||{}).tagName=='SCRIPT'||/unreachable|RuntimeError|wasm/i.test(e.message||''))stop()},true);\
    addEventListener('unhandledrejection',function(){\
    if(!document.documentElement.hasAttribute('data-hydrated'))stop()})})()";

/// Takes the token out of a link `…#token=…`, out of the address at once, and has the server keep it in a cookie; then the
/// page is asked for anew. A fragment is never sent, so this is nothing the server could do.
const ENTRANCE: &str = "(function(){function come(){\
    var m=/^#token=([\\w.=-]+)$/.exec(location.hash);if(!m)return;\
    history.replaceState(null,'',location.pathname+location.search);\
    fetch('/settings',{method:'POST',body:new URLSearchParams({token:m[1]})}).finally(function(){location.reload()})}\
    addEventListener('hashchange',come);come()})()";

/// With its keyboard open a phone has less of the page, not less to see of it.
const VIEWPORT: &str =
    "width=device-width, initial-scale=1, viewport-fit=cover, interactive-widget=resizes-content";

/// The whole document. [`PageData`] comes by context.
pub fn shell(options: LeptosOptions) -> impl IntoView {
    let data = expect_context::<PageData>();
    let strings = data.lang.strings();
    let title = title(&data.page, strings);
    let theme = (data.theme != Theme::System).then(|| data.theme.as_str());
    let nonce = leptos::nonce::use_nonce();
    // What is around the page has its colours, by day and by night.
    const PAPER: [&str; 2] = ["#fbfaf7", "#16181c"];
    let bars = match data.theme {
        Theme::System => (PAPER[0], PAPER[1]),
        Theme::Light => (PAPER[0], PAPER[0]),
        Theme::Dark => (PAPER[1], PAPER[1]),
    };
    view! {
        <!DOCTYPE html>
        <html
            lang=data.lang.tag()
            data-theme=theme
            data-base=(!base().is_empty()).then_some(base())
            data-part=part_of(&data.page).map(Part::word)
        >
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content=VIEWPORT/>
                <meta name="color-scheme" content=theme.unwrap_or("light dark")/>
                <meta name="description" content=strings.tagline/>
                // Its children would get a marker that shows (tachys 0.2.19).
                <title inner_html=raw_text(&title)></title>
                <link rel="icon" href=format!("/{}/favicon.svg", options.site_pkg_dir) type="image/svg+xml"/>
                <link rel="manifest" href=base::path("/manifest.webmanifest")/>
                <script nonce=nonce.clone()>{ENTRANCE.replace("/settings", &base::path("/settings"))}</script>
                {whole_page()}
                <link rel="apple-touch-icon" href=base::path("/icon-192.png")/>
                {theme_color("(prefers-color-scheme: light)", bars.0)}
                {theme_color("(prefers-color-scheme: dark)", bars.1)}
                <link rel="stylesheet" href=format!("/{}/hubbub.css", options.site_pkg_dir)/>
                <AutoReload options=options.clone()/>
                {data.page.is_live().then(|| view! {
                    <script nonce=nonce>{WATCHDOG}</script>
                    <HydrationScripts options/>
                })}
            </head>
            <body>
                <Any/>
                <div id="stopped" class="notice bad" role="alert" hidden>
                    <p>{strings.stopped_working}</p>
                    <p><a class="button" href=data.path.clone()>"↻"</a></p>
                </div>
            </body>
        </html>
    }
}

/// Has the browser draw nothing before the end of the page is there: half a bar moves when its other half comes (HTML, link
/// type `expect`). Browsers that don't know it draw as they did. (`view!` knows no `blocking`.)
fn whole_page() -> impl IntoView {
    html::link().rel("expect").href("#stopped").attr("blocking", "render")
}

/// What is around the page has this colour. (`view!` knows no `media` of a `<meta>`.)
fn theme_color(media: &'static str, color: &'static str) -> impl IntoView {
    html::meta().name("theme-color").attr("media", media).content(color)
}

/// What the tab is called.
pub(crate) fn title(page: &Page, strings: &Strings) -> String {
    match page {
        Page::Home { .. } => format!("Hubbub — {}", strings.rooms),
        Page::Room(view) => format!("{} — Hubbub", view.room),
        Page::Search(view) => format!("{}: {} — Hubbub", strings.search, view.room),
        Page::Lab(_) => format!("{} — Hubbub", strings.lab.title),
        Page::Admin => format!("{} — Hubbub", strings.admin.title),
        Page::NotFound => format!("{} — Hubbub", strings.not_found),
        Page::Locked { .. } => format!("{} — Hubbub", strings.locked),
    }
}

/// The page that the server chose, whichever it is.
#[component]
fn Any() -> impl IntoView {
    let data = expect_context::<PageData>();
    match data.page.clone() {
        Page::Home { .. } | Page::Room(_) => live(talk).into_any(),
        Page::Lab(_) => live(lab).into_any(),
        Page::Admin => live(admin).into_any(),
        Page::Search(view) => {
            surround(&data);
            view! { <SearchPage data view/> }.into_any()
        }
        Page::NotFound => {
            surround(&data);
            view! { <NotFoundPage data/> }.into_any()
        }
        Page::Locked { refused } => {
            surround(&data);
            view! { <LockedPage data refused/> }.into_any()
        }
    }
}

/// In the browser: every page that comes alive, but the lab.
#[component]
pub fn Talk() -> impl IntoView {
    live(talk)
}

/// In the browser: the lab, whose code is loaded on its page alone.
#[component]
pub fn Lab() -> impl IntoView {
    live(lab)
}

/// In the browser: the operator's page, whose code is loaded there alone.
#[component]
pub fn Admin() -> impl IntoView {
    live(admin)
}

/// A part of the site whose code is a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The lab.
    Lab,
    /// The operator's page.
    Admin,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Admin => "admin",
        }
    }
}

fn part_of(page: &Page) -> Option<Part> {
    match page {
        Page::Lab(_) => Some(Part::Lab),
        Page::Admin => Some(Part::Admin),
        _ => None,
    }
}

/// Of which part the document is, if of one; known before anything else of it is.
pub fn part() -> Option<Part> {
    let word = document().document_element()?.get_attribute("data-part")?;
    [Part::Lab, Part::Admin].into_iter().find(|part| part.word() == word)
}

/// Takes over where the site is, as the document says; before anything else looks.
pub fn take_base() {
    let root = document().document_element();
    base::set(&root.and_then(|root| root.get_attribute("data-base")).unwrap_or_default());
}

/// A page from the same data on both sides.
fn live(page: impl FnOnce(PageData) -> AnyView) -> impl IntoView {
    let data = SharedValue::new(expect_context::<PageData>).into_inner();
    let zone = surround(&data);
    Effect::new(move || {
        zone.set(Zone::Browser);
        let minutes = browser::minutes_ahead(browser::now() as u64);
        browser::set_cookie(ZONE_COOKIE, &minutes.to_string());
        // For tests and styles: from here on the page is live.
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-hydrated", "");
        }
    });
    page(data)
}

/// What every piece of a page may ask for; of which place its times are.
fn surround(data: &PageData) -> RwSignal<Zone> {
    provide_context(data.lang);
    provide_hues();
    let zone = RwSignal::new(data.zone);
    provide_context(zone);
    zone
}

fn talk(data: PageData) -> AnyView {
    match data.page.clone() {
        Page::Home { rooms, fresh, refused } => {
            view! { <HomePage data rooms fresh refused/> }.into_any()
        }
        Page::Room(view) => view! { <RoomPage data view/> }.into_any(),
        Page::Search(_) | Page::Lab(_) | Page::Admin | Page::NotFound | Page::Locked { .. } => {
            ().into_any()
        }
    }
}

fn lab(data: PageData) -> AnyView {
    match data.page.clone() {
        Page::Lab(view) => view! { <LabPage data view=Arc::unwrap_or_clone(view)/> }.into_any(),
        _ => ().into_any(),
    }
}

fn admin(data: PageData) -> AnyView {
    match data.page {
        Page::Admin => view! { <AdminPage data/> }.into_any(),
        _ => ().into_any(),
    }
}

/// The texts of the page's language.
pub(crate) fn strings() -> &'static Strings {
    expect_context::<crate::lang::Lang>().strings()
}

/// Text as the inside of a `<textarea>` or `<title>`. Leptos writes the children of these unescaped
/// (tachys 0.2.19), so they are given as HTML. A first line break would be dropped by the parser, so
/// it is doubled.
pub(crate) fn raw_text(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if escaped.starts_with('\n') { format!("\n{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::raw_text;

    #[test]
    fn text_in_a_field_can_not_become_markup() {
        assert_eq!(raw_text("</textarea><script>"), "&lt;/textarea&gt;&lt;script&gt;");
        assert_eq!(raw_text("&lt;"), "&amp;lt;");
        assert_eq!(raw_text("\nhi"), "\n\nhi");
    }
}
