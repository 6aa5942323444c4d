//! What the operator's page asks the hub for, and has it do.

use std::time::Duration;

use gloo_net::http::{Method, RequestBuilder};
use leptos::{prelude::*, task::spawn_local};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{clock, is_hidden};
use crate::{base, listing::Listing, scrape::Scrape};

/// How often it is asked how the hub is, while somebody looks; and after how many of these what there is is listed anew.
const EVERY: Duration = Duration::from_secs(1);
const LISTS: u32 = 5;

/// Tells `seen` how the hub is, about once a second, and has `list` ask what there is; as long as the page is there.
pub(crate) fn watch_hub(
    seen: impl Fn(Result<Scrape, ()>) + Copy + 'static,
    list: impl AsyncFn() + Copy + 'static,
) {
    let (turns, is_asking) = (StoredValue::new(0_u32), StoredValue::new(false));
    let look = move || {
        // A slow hub is not asked again before it has answered.
        if is_hidden() || is_asking.try_get_value().unwrap_or(true) {
            return;
        }
        is_asking.set_value(true);
        let turn = turns.try_get_value().unwrap_or_default();
        turns.try_set_value(turn.wrapping_add(1));
        spawn_local(async move {
            seen(get("/metrics").await.map(|text| Scrape::parse(&text, clock())));
            if turn.is_multiple_of(LISTS) {
                list().await;
            }
            is_asking.try_set_value(false);
        });
    };
    look();
    if let Ok(every) = set_interval_with_handle(look, EVERY) {
        on_cleanup(move || every.clear());
    }
}

/// What there is: rooms, connections, who is put out, what was refused last.
pub(crate) async fn list_hub() -> Result<Listing, ()> {
    async fn read<T: DeserializeOwned>(path: &str) -> Result<T, ()> {
        serde_json::from_str(&get(path).await?).map_err(drop)
    }
    Ok(Listing {
        rooms: read("/api/rooms").await?,
        connections: read("/api/connections").await?,
        out: read("/api/out").await?,
        refusals: read("/api/refusals").await?,
    })
}

/// Has something done; says why it can't be.
pub(crate) async fn act(method: &str, path: &str, body: Option<Value>) -> Result<(), String> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let request = RequestBuilder::new(&base::path(path)).method(method);
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request.build(),
    };
    let answer = request.map_err(|error| error.to_string())?.send().await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.ok() {
        return Ok(());
    }
    let told = answer.text().await.unwrap_or_default();
    let told: Value = serde_json::from_str(&told).unwrap_or_default();
    let detail = told["detail"].as_str().map(str::to_owned);
    Err(detail.unwrap_or_else(|| answer.status().to_string()))
}

/// Whether the person means it.
pub(crate) fn is_sure(question: &str) -> bool {
    window().confirm_with_message(question).unwrap_or_default()
}

async fn get(path: &str) -> Result<String, ()> {
    let answer = RequestBuilder::new(&base::path(path)).send().await.map_err(drop)?;
    if answer.ok() { answer.text().await.map_err(drop) } else { Err(()) }
}
