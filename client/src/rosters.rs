//! What is known of the members at this moment, one list a kind of state.

use common::{Members, Roster, StateKind};

/// A list for each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rosters([Members; StateKind::ALL.len()]);

impl Rosters {
    /// The list of one kind.
    pub(crate) fn of(&self, kind: StateKind) -> &Members {
        &self.0[kind as usize]
    }

    /// Brings it up to date.
    pub(crate) fn apply(&mut self, kind: StateKind, roster: Roster) {
        self.0[kind as usize].apply(roster);
    }

    /// Takes over the list of one kind from `other`; true if it is another one.
    pub(crate) fn copy(&mut self, kind: StateKind, other: &Self) -> bool {
        let differs = self.of(kind) != other.of(kind);
        if differs {
            self.0[kind as usize].clone_from(other.of(kind));
        }
        differs
    }
}
