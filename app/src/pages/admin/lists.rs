//! What there is on the hub, and what can be done with it. What has not changed stays where it is, and keeps the focus.

use client::encode_component;
use common::Settings;
use leptos::prelude::*;
use serde_json::json;

use super::Admin;
use crate::{
    browser,
    components::Moment,
    listing::{ConnectionRow, OutRow, RefusalRow, RoomRow},
    page::room_path,
    shell::strings,
};

/// For how long somebody is put out by one press.
const OUT_SECONDS: u64 = 3_600;

#[component]
pub(super) fn Lists() -> impl IntoView {
    let texts = strings().admin;
    let admin = expect_context::<Admin>();
    let hub = admin.hub;
    view! {
        <Table name=texts.rooms id="rooms" heads=&texts.room_heads
            is_empty=move || hub.with(|hub| hub.rooms.rooms.is_empty())>
            <For each=move || hub.with(|hub| hub.rooms.rooms.clone()) key=|row: &RoomRow| format!("{row:?}") let(row)>
                {room(row)}
            </For>
        </Table>
        <Table name=texts.connections id="connections" heads=&texts.connection_heads
            is_empty=move || hub.with(|hub| hub.connections.connections.is_empty())>
            <For each=move || hub.with(|hub| hub.connections.connections.clone()) key=|row: &ConnectionRow| (row.number, row.member.name.clone()) let(row)>
                {connection(row)}
            </For>
        </Table>
        <p class="quiet-text">
            {move || {
                let (count, listed) = hub.with(|hub| (hub.connections.count, hub.connections.connections.len()));
                (count > listed).then(|| (texts.more)(count - listed))
            }}
        </p>
        <Table name=texts.out id="out" heads=&texts.out_heads
            is_empty=move || hub.with(|hub| hub.out.out.is_empty())>
            <For each=move || hub.with(|hub| hub.out.out.clone()) key=|row: &OutRow| format!("{row:?}") let(row)>
                {out(row)}
            </For>
        </Table>
        <Table name=texts.last_refusals id="refusals" heads=&texts.refusal_heads
            is_empty=move || hub.with(|hub| hub.refusals.refusals.is_empty())>
            <For each=move || hub.with(|hub| hub.refusals.refusals.clone()) key=|row: &RefusalRow| row.number let(row)>
                {refusal(row)}
            </For>
        </Table>
    }
}

#[component]
fn Table<const N: usize>(
    name: &'static str,
    id: &'static str,
    heads: &'static [&'static str; N],
    is_empty: impl Fn() -> bool + Copy + Send + Sync + 'static,
    children: Children,
) -> impl IntoView {
    let texts = strings().admin;
    view! {
        <section>
            <h2 id=id>{name}</h2>
            <p class="quiet-text">{move || is_empty().then_some(texts.none)}</p>
            <div class="table" role="region" aria-labelledby=id tabindex="0" hidden=is_empty>
                <table>
                    <thead>
                        <tr>{heads.map(|head| view! { <th scope="col">{head}</th> }).collect_view()}</tr>
                    </thead>
                    <tbody>{children()}</tbody>
                </table>
            </div>
        </section>
    }
}

fn room(RoomRow { name, members, last_at, settings }: RoomRow) -> impl IntoView {
    let texts = strings().admin;
    let admin = expect_context::<Admin>();
    let path = format!("/api/rooms/{}", encode_component(name.as_str()));
    let set = {
        let path = path.clone();
        move |field: &'static str, value: bool| {
            admin.act("PUT", format!("{path}/settings"), Some(json!({ field: value })));
        }
    };
    let (hold, close) = (set.clone(), set);
    let Settings { read_only, closed, .. } = settings;
    let clear = {
        let question = (texts.clear_sure)(name.as_str());
        move |_| {
            if browser::is_sure(&question) {
                admin.act("DELETE", format!("{path}/messages"), None);
            }
        }
    };
    view! {
        <tr>
            <th scope="row" dir="auto"><a href=room_path(&name)>{name.to_string()}</a></th>
            <td>{members}</td>
            <td>{(last_at > 0).then(|| view! { <Moment at=last_at/> })}</td>
            <td>
                <div class="acts">
                <button type="button" aria-pressed=read_only.to_string() on:click=move |_| hold("read_only", !read_only)>
                    {texts.hold}
                </button>
                <button type="button" aria-pressed=closed.to_string() on:click=move |_| close("closed", !closed)>
                    {texts.close}
                </button>
                <button type="button" on:click=clear>{texts.clear}</button>
                </div>
            </td>
        </tr>
    }
}

fn connection(connection: ConnectionRow) -> impl IntoView {
    let texts = strings().admin;
    let admin = expect_context::<Admin>();
    let ConnectionRow { room, member, transport, since, .. } = connection;
    let (name, path) = (member.name.to_string(), room_path(&room));
    let question = (texts.put_out_sure)(&name);
    let put_out = move |_| {
        if browser::is_sure(&question) {
            let out = format!("/api/out/{}", encode_component(member.id.as_str()));
            admin.act("PUT", out, Some(json!({"seconds": OUT_SECONDS})));
        }
    };
    view! {
        <tr>
            <th scope="row" dir="auto">{name}</th>
            <td dir="auto"><a href=path>{room.to_string()}</a></td>
            <td>{transport}</td>
            <td><Moment at=since/></td>
            <td><button type="button" on:click=put_out>{texts.put_out}</button></td>
        </tr>
    }
}

fn out(OutRow { member, until }: OutRow) -> impl IntoView {
    let texts = strings().admin;
    let admin = expect_context::<Admin>();
    let path = format!("/api/out/{}", encode_component(member.as_str()));
    view! {
        <tr>
            <th scope="row">{member.to_string()}</th>
            <td><Moment at=until/></td>
            <td>
                <div class="acts">
                <button type="button" on:click=move |_| admin.act("DELETE", path.clone(), None)>
                    {texts.let_in}
                </button>
                </div>
            </td>
        </tr>
    }
}

fn refusal(RefusalRow { at, code, over, .. }: RefusalRow) -> impl IntoView {
    view! {
        <tr>
            <th scope="row"><Moment at/></th>
            <td><code>{code}</code></td>
            <td>{over}</td>
        </tr>
    }
}
