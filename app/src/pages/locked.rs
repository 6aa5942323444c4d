//! What is here is for those with a token. A link that has one opens it by itself; without scripts it can be given by hand.

use common::Refusal;
use leptos::prelude::*;

use crate::{
    base,
    components::{Bar, Preferences},
    page::PageData,
    shell::strings,
};

#[component]
pub(crate) fn LockedPage(data: PageData, refused: Option<Refusal>) -> impl IntoView {
    let (strings, path, back) = (strings(), data.path.clone(), data.path);
    view! {
        <div class="page">
            <Bar>
                <span class="grow"></span>
                <Preferences theme=data.theme path/>
            </Bar>
            <main class="sheet">
                <h1>{strings.locked}</h1>
                <p>{strings.locked_text}</p>
                {refused.map(|_| view! { <p class="problem" role="alert">{strings.token_is_no_good}</p> })}
                <form class="row" action=base::path("/settings") method="post">
                    <input type="hidden" name="back" value=back/>
                    <label class="visually-hidden" for="token">{strings.token}</label>
                    <input
                        id="token"
                        name="token"
                        required
                        autocomplete="off"
                        spellcheck="false"
                        placeholder=strings.token
                    />
                    <button class="primary">{strings.come_in}</button>
                </form>
            </main>
        </div>
    }
}
