//! Drawings for what can be pressed. Letters that look alike are drawn by every system in its own way, some in colours.

use leptos::prelude::*;

/// What a drawing stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Icon {
    People,
    Search,
    Menu,
    Call,
    File,
    Envelope,
    Pencil,
    Send,
    Close,
    System,
    Light,
    Dark,
}

impl Icon {
    /// Lines on 24 by 24.
    fn path(self) -> &'static str {
        match self {
            Self::People => {
                "M9 4.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M2.5 20c0-4 2.9-6.5 6.5-6.5s6.5 2.5 6.5 6.5M15.5 5a3.5 3.5 0 0 1 0 6.5M18 14c2.2.9 3.5 3 3.5 6"
            }
            Self::Search => "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.5 15.5l5 5",
            Self::Menu => "M4 7h16M4 12h16M4 17h16",
            Self::Call => {
                "M6.5 3.5 9 3l2 4.5-2 1.6a12 12 0 0 0 5.9 5.9l1.6-2L21 15l-.5 2.5c-.3 1.7-1.6 3-3.5 3C9.5 20.5 3.5 14.5 3.5 7c0-1.9 1.3-3.2 3-3.5Z"
            }
            Self::File => "m8 13 6.3-6.3a2.6 2.6 0 0 1 3.7 3.7l-8 8a4.6 4.6 0 0 1-6.5-6.5l7.3-7.3",
            Self::Envelope => "M3.5 6h17v12h-17zM3.5 7l8.5 6 8.5-6",
            Self::Pencil => "M4 20l1-4.5L16.5 4l3.5 3.5L8.5 19zM14 6.5l3.5 3.5",
            Self::Send => "M4 4.5 21 12 4 19.5 6.5 12zM6.5 12H13",
            Self::Close => "M6 6l12 12M18 6 6 18",
            Self::System => "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 4v16M15 5v14M18 7v10",
            Self::Light => {
                "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4"
            }
            Self::Dark => "M20 14.5A8 8 0 1 1 9.5 4 6.5 6.5 0 0 0 20 14.5Z",
        }
    }

    /// The drawing, which says nothing to a screen reader: what it is in has a name.
    pub(crate) fn draw(self) -> impl IntoView {
        view! {
            <svg class="drawn" viewBox="0 0 24 24" aria-hidden="true">
                <path d=self.path()/>
            </svg>
        }
    }
}
