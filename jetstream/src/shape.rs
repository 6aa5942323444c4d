//! How streams are made.

use std::time::Duration;

use hub::broker::Retention;

/// Messages are kept for so much longer than their age allows, so that which go is decided by when they were said.
const AGE_MARGIN: Duration = Duration::from_secs(60 * 60);

/// How a stream is made.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) subjects: String,
    pub(crate) replicas: usize,
    /// Over how many streams the rooms of its log are spread, this one among them.
    pub(crate) streams: usize,
    pub(crate) per_subject: i64,
    pub(crate) max_bytes: i64,
    pub(crate) max_age: Duration,
    pub(crate) window: Duration,
}

impl Shape {
    /// How much is kept of one room: of what is let go of a part stays, by which its ids are known.
    pub(crate) fn of_one_room(retention: &Retention) -> usize {
        retention.room_ids.max(retention.room_messages)
    }

    /// Of a shard.
    pub(crate) fn of_shard(
        name: &str,
        shard: usize,
        streams: usize,
        replicas: usize,
        window: Duration,
        retention: &Retention,
    ) -> Self {
        let limit = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (name, subjects) = match shard {
            0 => (name.to_owned(), format!("{name}.log")),
            shard => (format!("{name}-{shard}"), format!("{name}.log-{shard}")),
        };
        Self {
            name,
            subjects,
            replicas,
            streams,
            per_subject: limit(Self::of_one_room(retention)),
            max_bytes: limit(retention.total_bytes / streams),
            max_age: retention.age + AGE_MARGIN,
            window,
        }
    }

    /// Of what is kept beside messages.
    pub(crate) fn of_kept(name: &str, replicas: usize, window: Duration) -> Self {
        Self {
            name: format!("{name}-kept"),
            subjects: format!("{name}.kept"),
            replicas,
            streams: 1,
            per_subject: 1,
            max_bytes: -1,
            max_age: Duration::ZERO,
            window,
        }
    }
}
