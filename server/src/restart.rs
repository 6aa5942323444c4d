//! What one life of the server leaves to the next: who was here, so that a restart is not everybody
//! leaving and coming for all to see. The log is not in here; losing this loses nothing.

use std::{fs, io, path::Path, time::Duration};

use common::{Member, RoomName};
use hub::Hub;
use serde::{Deserialize, Serialize};

use crate::{clock::now_ms, identity::write_private};

const FILE: &str = "present.json";
/// After a longer pause nobody is expected back.
const LONGEST: Duration = Duration::from_secs(5 * 60);

#[derive(Serialize, Deserialize)]
struct Left {
    at: u64,
    present: Vec<(RoomName, Vec<Member>)>,
}

/// Writes down who is here, for [`welcome`] to read.
pub(crate) fn leave(dir: &Path, hub: &Hub) {
    let left = Left { at: now_ms(), present: hub.present() };
    let written = serde_json::to_vec(&left)
        .map_err(io::Error::from)
        .and_then(|json| write_private(&dir.join(FILE), &json));
    if let Err(error) = written {
        tracing::warn!(%error, "can't write down who is here; they will be seen coming back");
    }
}

/// Expects back who was here when the server stopped a moment ago.
pub(crate) fn welcome(dir: &Path, hub: &Hub) {
    let path = dir.join(FILE);
    let Ok(json) = fs::read(&path) else { return };
    // Read once: after a crash it would tell of a time long gone.
    let _ = fs::remove_file(path);
    let Ok(left) = serde_json::from_slice::<Left>(&json) else { return };
    if now_ms().saturating_sub(left.at) <= LONGEST.as_millis() as u64 {
        hub.expect(left.present, tokio::time::Instant::now().into_std());
    }
}
