//! Tokens for whom and for what one likes, made by whoever has the server's key, or may manage all of it.

use std::sync::Arc;

use clap::Args;
use common::{MemberId, MemberName, Refusal};

use crate::{
    clock::now_ms,
    config::Config,
    identity::{Identity, KEY_FILE, TOKEN_BYTES, Visitor},
    rights::{Grant, Rights},
    store,
};

/// How long a token is good, in seconds, unless it is told: a day.
const USUAL: u64 = 24 * 60 * 60;
/// And for how long at the most: 180 days.
const LONGEST: u64 = 180 * USUAL;

/// What `hubbub token` is asked for.
#[derive(Clone, Debug, Args)]
pub struct Asked {
    /// Whom it makes its bearer; somebody new, if that is not told.
    #[arg(long, value_name = "ID")]
    sub: Option<String>,
    /// The name to go by.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Rooms that it may be read in; `*` stands for any characters (may be repeated).
    #[arg(long, value_name = "ROOM")]
    read: Vec<String>,
    /// Rooms that it may be written in (may be repeated).
    #[arg(long, value_name = "ROOM")]
    write: Vec<String>,
    /// Rooms that it may manage, which is to read and write as well (may be repeated).
    #[arg(long, value_name = "ROOM")]
    manage: Vec<String>,
    /// For how many seconds it is good; at most 180 days.
    #[arg(long, value_name = "SECONDS", default_value_t = USUAL)]
    expires_in: u64,
}

/// A token as asked for, signed with the server's key; servers may be running.
///
/// # Errors
///
/// What is wrong with what is asked for, or with the key.
pub async fn token(config: &Config, asked: &Asked) -> Result<String, String> {
    let named = |refusal: Refusal| refusal.message;
    let rights = Rights::of(&asked.read, &asked.write, &asked.manage)?;
    let name = asked.name.as_deref().map(MemberName::parse).transpose().map_err(named)?;
    let visitor = bearer(asked.sub.as_deref(), name, rights, Some(asked.expires_in));
    let identity = store::identity(config).await.map_err(|error| error.to_string())?;
    issue(&identity, &visitor.map_err(named)?).map(|(token, _)| token).map_err(named)
}

/// A token that grants to manage all rooms for five minutes, signed with the server's key.
///
/// # Errors
///
/// What is wrong with the key.
pub(crate) async fn managing(config: &Config) -> Result<String, String> {
    // Whoever only goes to a server makes no key.
    if config.uses_data() && config.key_file.is_none() && !config.data.join(KEY_FILE).exists() {
        let data = config.data.display();
        return Err(format!(
            "there is no key in {data}: tell the server's directory with --data, or a token"
        ));
    }
    let asked = Asked {
        sub: Some("admin".to_owned()),
        name: Some("admin".to_owned()),
        read: Vec::new(),
        write: Vec::new(),
        manage: vec!["*".to_owned()],
        expires_in: 5 * 60,
    };
    token(config, &asked).await
}

/// A token for `visitor`, and until when it is good, if it is one that would be taken.
pub(crate) fn issue(identity: &Identity, visitor: &Visitor) -> Result<(String, u64), Refusal> {
    let (token, expires) = identity.token(visitor);
    if token.len() > TOKEN_BYTES {
        return Err(Refusal::too_long("hubbub", TOKEN_BYTES, "bytes, as a token"));
    }
    Ok((token, expires))
}

/// Whom a token is to make its bearer, who goes by `name` and is granted `rights` for so many seconds.
pub(crate) fn bearer(
    sub: Option<&str>,
    name: Option<MemberName>,
    rights: Rights,
    expires_in: Option<u64>,
) -> Result<Visitor, Refusal> {
    let seconds = expires_in.unwrap_or(USUAL);
    if !(1..=LONGEST).contains(&seconds) {
        let message = format!("`expires_in` is not a number of seconds from 1 to {LONGEST}");
        return Err(Refusal { limit: Some(LONGEST), ..Refusal::field("expires_in", message) });
    }
    let sub = sub.map(MemberId::parse).transpose();
    let sub =
        sub.map_err(|refusal| Refusal::field("sub", format!("`sub`: {}", refusal.message)))?;
    let grant = Grant { rights, exp: now_ms() / 1_000 + seconds };
    let id = sub.unwrap_or_else(|| Visitor::guest().id);
    Ok(Visitor { id, name, grant: Some(Arc::new(grant)) })
}
