//! Where a reader stands in a room's log.
//!
//! A log lives for one [`Epoch`]; in it every message has an [`Offset`]. Both together are a
//! [`Position`], written `epoch:offset`, and it means "everything up to and including this offset
//! was read".

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

use crate::Refusal;

/// The number of a message: strictly increasing within a room, not contiguous (all rooms may be
/// numbered in one sequence). 0 is before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of the log. Offsets of different epochs say nothing about each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks that `text` is 1 to 32 ASCII letters or digits.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that names the field `after`, where epochs are written.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let fits = (1..=32).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::field(
                "after",
                "`after` has an epoch that is not 1 to 32 letters or digits",
            ))
        }
    }
}

impl TryFrom<String> for Epoch {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a room's log, written `epoch:offset`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// The life of the log the offset belongs to.
    pub epoch: Epoch,
    /// The last offset that was read.
    pub offset: Offset,
}

impl FromStr for Position {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::field("after", "`after` is neither `0` nor `epoch:offset`");
        let (epoch, offset) = text.split_once(':').ok_or_else(wrong)?;
        Ok(Self {
            epoch: Epoch::parse(epoch)?,
            offset: Offset(offset.parse().map_err(|_| wrong())?),
        })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

impl TryFrom<String> for Position {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}

/// Where a reader asks to start: the `after` of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// No `after`: only what comes from now on.
    #[default]
    Now,
    /// `after=0`: from the oldest message that is kept.
    Oldest,
    /// `after=epoch:offset`: everything behind that position.
    Position(Position),
}

impl FromStr for After {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        match text {
            "0" => Ok(Self::Oldest),
            _ => text.parse().map(Self::Position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_epoch_colon_offset() {
        let position: Position = "k3x9:42".parse().unwrap();
        assert_eq!(position.offset, Offset(42));
        assert_eq!(position.to_string(), "k3x9:42");
        assert_eq!(serde_json::to_string(&position).unwrap(), r#""k3x9:42""#);
        assert_eq!(position.epoch.as_str(), "k3x9");
        assert_eq!(position.epoch.to_string(), "k3x9");
    }

    #[test]
    fn zero_is_from_the_oldest_message_kept() {
        assert_eq!("0".parse::<After>().unwrap(), After::Oldest);
    }

    #[test]
    fn a_bad_position_is_refused_by_field() {
        for bad in ["", "1", "a", ":1", "a:", "a:-1", "a:b", "a b:1", "가:1"] {
            let refusal = bad.parse::<After>().unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("after"), "{bad:?}");
        }
    }
}
