//! What keeps the log: one file a store. One broker never names another.

pub(crate) mod sqlite;
