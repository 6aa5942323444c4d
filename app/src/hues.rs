//! Which colour stands for whom: as long as there are enough, no two on a page have the same.
//!
//! Everybody has one that follows from their id, so that it stays over pages and visits. If somebody who was drawn before
//! has that already, it is the next that is free. The server and the browser draw in the same order, and come to the same.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use leptos::prelude::{expect_context, provide_context};

/// How many colours there are, as the style sheet has them: eight, each filled and as a ring.
pub(crate) const HUES: u8 = 16;

#[derive(Clone, Debug, Default)]
struct Hues(Arc<Mutex<HashMap<String, u8>>>);

/// On this page nobody has a colour yet.
pub(crate) fn provide_hues() {
    provide_context(Hues::default());
}

/// The colour of this member.
pub(crate) fn hue_of(id: &str) -> u8 {
    expect_context::<Hues>().of(id)
}

impl Hues {
    fn of(&self, id: &str) -> u8 {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hue) = taken.get(id) {
            return *hue;
        }
        let sum =
            id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let own = (sum % u32::from(HUES)) as u8;
        let is_free = |hue: &u8| taken.values().all(|taken| taken != hue);
        let hue = (0..HUES).map(|step| (own + step) % HUES).find(is_free).unwrap_or(own);
        taken.insert(id.to_owned(), hue);
        hue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_on_a_page_have_sixteen_colours_and_keep_them() {
        let hues = Hues::default();
        let ids: Vec<_> = (0..HUES).map(|n| format!("member-{n}")).collect();
        let first: Vec<_> = ids.iter().map(|id| hues.of(id)).collect();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..HUES).collect::<Vec<_>>());
        // There are no more, so a seventeenth shares one.
        assert!(hues.of("member-17") < HUES);
        assert_eq!(ids.iter().map(|id| hues.of(id)).collect::<Vec<_>>(), first);
        // Alone, each has the same on every page.
        assert_eq!(Hues::default().of("ada"), Hues::default().of("ada"));
    }
}
