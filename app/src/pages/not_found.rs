//! There is nothing at this address.

use leptos::prelude::*;

use crate::{
    base,
    components::{Bar, Preferences},
    page::PageData,
    shell::strings,
};

#[component]
pub(crate) fn NotFoundPage(data: PageData) -> impl IntoView {
    let strings = strings();
    view! {
        <div class="page">
            <Bar>
                <span class="grow"></span>
                <Preferences theme=data.theme path=data.path/>
            </Bar>
            <main class="sheet">
                <h1>{strings.not_found}</h1>
                <p>{strings.not_found_text}</p>
                <p>
                    <a class="button" href=base::path("/")>{strings.home}</a>
                </p>
            </main>
        </div>
    }
}
