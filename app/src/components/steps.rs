//! How the list of rows gets from what is drawn to what is to be drawn: in steps that move no row that stays.
//!
//! A row that is moved in the document loses the focus, and what somebody has picked out in it. Leptos moves all that stay when
//! several come above them, and when one comes in the place of the first that stays, while others go above it (tachys 0.2.19,
//! `diff` in keyed.rs: neighbors are moved if the first of them is, and it takes what is added in its place for one before it).

use std::collections::HashSet;

use leptos::prelude::*;

use crate::rows::LiveRow;

/// What `For` is to draw of `list`. What it can't in one step, it does in several, before the next picture.
pub(super) fn in_steps(
    list: impl Fn() -> Vec<LiveRow> + Send + Sync + 'static,
) -> impl Fn() -> Vec<LiveRow> + Send + Sync + 'static {
    let (drawn, next) = (StoredValue::new(Vec::new()), ArcTrigger::new());
    move || {
        next.track();
        let list = list();
        let count = list.len();
        let rows = drawn.with_value(|drawn| step(drawn, list));
        drawn.set_value(rows.iter().map(|row| row.key).collect());
        if rows.len() < count {
            let next = next.clone();
            queue_microtask(move || next.notify());
        }
        rows
    }
}

/// As much of `list` as can be drawn next, where rows of these keys are: first those go that are to go, then others come, those
/// above all that stay one by one.
fn step(drawn: &[u64], mut list: Vec<LiveRow>) -> Vec<LiveRow> {
    let drawn_keys: HashSet<u64> = drawn.iter().copied().collect();
    let stays = |row: &LiveRow| drawn_keys.contains(&row.key);
    let Some(first) = list.iter().position(stays) else { return list };
    if list.iter().filter(|row| stays(row)).count() < drawn.len() {
        list.retain(stays);
    } else {
        list.drain(..first.saturating_sub(1));
    }
    list
}

#[cfg(test)]
mod tests {
    use client::{Row, Status};

    use super::*;

    fn rows(keys: &[u64]) -> Vec<LiveRow> {
        let row = |&key| Row {
            key,
            message: None,
            status: Status::Sent,
            direct: false,
            grouped: false,
            before: None,
        };
        keys.iter().map(|key| row(key).into()).collect()
    }

    /// All steps from one list to another.
    fn steps(from: &[u64], to: &[u64]) -> Vec<Vec<u64>> {
        let mut steps = vec![from.to_vec()];
        while steps.last().is_none_or(|last| last != to) {
            let drawn = steps.last().map_or(&[][..], Vec::as_slice);
            steps.push(step(drawn, rows(to)).iter().map(|row| row.key).collect());
        }
        steps.split_off(1)
    }

    #[test]
    fn what_goes_goes_first_and_what_comes_above_comes_one_by_one() {
        assert_eq!(steps(&[], &[1, 2]), [[1, 2]]);
        assert_eq!(steps(&[1, 2], &[1, 2, 3, 4]), [[1, 2, 3, 4]]);
        assert_eq!(steps(&[1, 2, 3], &[3, 4, 5]), [vec![3], vec![3, 4, 5]]);
        let above = [vec![7, 1], vec![8, 7, 1], vec![9, 8, 7, 1]];
        assert_eq!(steps(&[1], &[9, 8, 7, 1]), above);
        assert_eq!(steps(&[1, 2], &[9, 8, 2, 3]), [vec![2], vec![8, 2, 3], vec![9, 8, 2, 3]]);
        assert_eq!(steps(&[1, 2], &[3, 4]), [[3, 4]], "where nothing stays");
        assert_eq!(steps(&[1, 2, 3], &[1, 3, 2]), [[1, 3, 2]], "what moves is moved");
    }
}
