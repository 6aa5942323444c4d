//! Who somebody is: a token signed with a key of this server, carried in a cookie by pages and shown
//! as a bearer token (RFC 6750) by programs.
//!
//! Nothing is kept about anybody: whoever shows a valid token is the member it names. So `from` on a
//! message can't be forged, and a restart makes nobody a stranger. What others sign that the operator trusts counts as
//! much (`issuers`); what a token grants is read here and judged in `rights`.

use std::{fs, io, path::Path, sync::Arc};

use app::names::guest_name;
use axum::http::{HeaderMap, HeaderValue};
use common::{ErrorCode, Member, MemberId, MemberName, Refusal, SessionId};
use headers::{Authorization, Cookie, HeaderMapExt, authorization::Bearer};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use uuid::Uuid;

use crate::{
    claims::{Claims, later, why},
    clock::now_ms,
    issuers::{Issuers, Jwks, validation},
    peer::FORWARDED_PROTO,
    rights::{Grant, Rights},
};

/// In the data directory.
pub(crate) const KEY_FILE: &str = "token.key";
const COOKIE: &str = "hubbub";
/// The same where there is TLS: browsers take it from this very host alone, so that no sibling domain can set it
/// (RFC 6265bis section 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-hubbub";
const DAY: u64 = 24 * 60 * 60;
/// How long a token is good for, in seconds.
const LIFETIME: u64 = 180 * DAY;
/// A token with less than this left is renewed at the next page, in seconds.
const RENEW: u64 = 120 * DAY;
const KEY_BYTES: usize = 32;
/// The longest token, in bytes: with its name and what holds of it a cookie has at most 4096 (RFC 6265 section 6.1).
pub(crate) const TOKEN_BYTES: usize = 3_840;

/// Somebody who asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Who it is.
    pub id: MemberId,
    /// The name it picked, if it picked one.
    pub name: Option<MemberName>,
    /// What its token grants, if it is of that kind: beyond what everybody may.
    pub grant: Option<Arc<Grant>>,
}

impl Visitor {
    /// Somebody new.
    pub fn guest() -> Self {
        let id = Uuid::new_v4().simple().to_string();
        Self { id: MemberId::parse(&id).expect("a UUID is a member id"), name: None, grant: None }
    }

    /// As the others see it; without a name, a guest whose name is made from its id.
    pub fn member(&self) -> Member {
        let name = self.name.clone().unwrap_or_else(|| guest_name(&self.id));
        Member { id: self.id.clone(), name }
    }
}

/// What is signed of a session. No token reads like this, so neither can pass for the other.
fn session_text(nonce: &str, owner: &str) -> String {
    format!("session {nonce} {owner}")
}

/// Whom they name. What others signed is worth what it grants, also if that is nothing.
fn visitor_of(claims: &Claims, of_others: bool) -> Result<Visitor, String> {
    let named = |refusal: Refusal| refusal.message;
    let rights = claims.hubbub.as_ref().map(Rights::read).transpose()?;
    let rights = rights.or(of_others.then(Rights::default));
    Ok(Visitor {
        id: MemberId::parse(&claims.sub).map_err(|error| format!("`sub`: {}", named(error)))?,
        name: claims.name.as_deref().map(MemberName::parse).transpose().map_err(named)?,
        grant: rights.map(|rights| Arc::new(Grant { rights, exp: claims.exp })),
    })
}

/// Signs and checks tokens.
#[derive(Clone)]
pub struct Identity {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    issuers: Issuers,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

impl Identity {
    /// With a key that is gone at exit: tokens of one run mean nothing to the next.
    pub fn ephemeral() -> Self {
        Self::with_key(&new_key())
    }

    /// With the key in `dir`, which is made at the first start.
    ///
    /// # Errors
    ///
    /// When the directory or the key can't be made or read, or the key is too short to be one.
    pub fn load(dir: &Path) -> io::Result<Self> {
        let path = dir.join(KEY_FILE);
        match fs::read(&path) {
            Ok(key) if key.len() >= KEY_BYTES => {
                // Whoever reads it can be anybody; however it came here, from now on nobody else can.
                #[cfg(unix)]
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
                Ok(Self::with_key(&key))
            }
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is shorter than {KEY_BYTES} bytes; remove it to have a new one made, which \
                     signs everybody out",
                    path.display()
                ),
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = new_key();
                fs::create_dir_all(dir)?;
                write_private(&path, &key)?;
                Ok(Self::with_key(&key))
            }
            Err(error) => Err(error),
        }
    }

    /// With the key in a file.
    ///
    /// # Errors
    ///
    /// It can't be read, or is too short to be one.
    pub(crate) fn read_key(path: &Path) -> io::Result<Self> {
        let named = |error| io::Error::other(format!("{}: {error}", path.display()));
        match fs::read(path).map_err(named)? {
            key if key.len() >= KEY_BYTES => Ok(Self::with_key(&key)),
            _ => Err(named(io::Error::other(format!("it is shorter than {KEY_BYTES} bytes")))),
        }
    }

    pub(crate) fn with_key(key: &[u8]) -> Self {
        Self {
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            validation: validation(Algorithm::HS256, &[]),
            issuers: Issuers::default(),
        }
    }

    /// The same, trusting what those sign as well.
    #[must_use]
    pub(crate) fn trusting(self, issuers: Issuers) -> Self {
        Self { issuers, ..self }
    }

    /// The keys at an address that tokens are looked up in, if there is one.
    pub(crate) fn jwks(&self) -> Option<Arc<Jwks>> {
        self.issuers.jwks.clone()
    }

    /// Who sent a request with these headers, and whether a new cookie is due; `None` for somebody
    /// without a valid token.
    pub fn visitor(&self, headers: &HeaderMap) -> Option<(Visitor, bool)> {
        let name = cookie_name(if is_secure(headers) { SECURE_COOKIE } else { COOKIE });
        let (visitor, exp) = self.read(&cookie(headers, &name)?).ok()?;
        // What is granted for a while is not granted for longer by a visit.
        let due = visitor.grant.is_none() && exp < now_ms() / 1000 + RENEW;
        Some((visitor, due))
    }

    /// Who calls, by the token it shows: `token`, from the query, for what can't set headers; else
    /// `Authorization: Bearer …`; else the cookie. `None` for somebody without any.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidToken`] for a token that is no good: a program that shows one would rather
    /// know than be taken for a stranger. A cookie that is no good is as none, for people can't help it.
    pub(crate) fn caller(
        &self,
        headers: &HeaderMap,
        token: Option<&str>,
    ) -> Result<Option<Visitor>, Refusal> {
        let bearer = headers.typed_get::<Authorization<Bearer>>();
        match token.or(bearer.as_ref().map(Authorization::token)) {
            Some(token) => self.bearer(token).map(Some),
            None => Ok(self.visitor(headers).map(|(visitor, _)| visitor)),
        }
    }

    /// Whom `token` makes its bearer.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidToken`], with the reason.
    pub(crate) fn bearer(&self, token: &str) -> Result<Visitor, Refusal> {
        match self.read(token) {
            Ok((visitor, _)) => Ok(visitor),
            Err(why) => Err(Refusal::new(ErrorCode::InvalidToken, format!("the token {why}"))),
        }
    }

    /// Whom `token` names, and until when: seconds since 1970. Or why it names nobody.
    fn read(&self, token: &str) -> Result<(Visitor, u64), String> {
        if token.len() > TOKEN_BYTES {
            return Err(format!("is longer than {TOKEN_BYTES} bytes"));
        }
        let own = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation);
        let (claims, of_others) = match own {
            Ok(token) => (token.claims, false),
            Err(own) => {
                let others = self.issuers.read(token);
                (others.map_err(|others| why(&later(own, others)))?, true)
            }
        };
        let exp = claims.exp;
        let visitor =
            visitor_of(&claims, of_others).map_err(|error| format!("has a wrong claim: {error}"));
        Ok((visitor?, exp))
    }

    /// Who is behind a connection, and which session it is: the one that `session` names if this server
    /// gave it to the same member, else a new one. Nothing is kept to know it again; it is signed.
    ///
    /// Somebody without a token is a guest whose id goes with the session: for a guest the session is
    /// all there is to know it by.
    pub(crate) fn recognise(
        &self,
        visitor: Option<Visitor>,
        session: Option<&str>,
    ) -> (Visitor, SessionId) {
        let owner = visitor.as_ref().map_or("", |visitor| visitor.id.as_str());
        let known = session.and_then(|session| {
            let (nonce, signature) = session.split_once('.')?;
            let signed = session_text(nonce, owner);
            let verified = jsonwebtoken::crypto::verify(
                signature,
                signed.as_bytes(),
                &self.decoding,
                Algorithm::HS256,
            );
            verified.is_ok_and(|verified| verified).then(|| nonce.to_owned())
        });
        let nonce = known.unwrap_or_else(|| Uuid::new_v4().simple().to_string().split_off(16));
        let session = format!("{nonce}.{}", self.sign(&session_text(&nonce, owner)));
        let visitor = visitor.unwrap_or_else(|| {
            let mut id = self.sign(&format!("guest {nonce}")).to_lowercase();
            id.truncate(32);
            let id = MemberId::parse(&id).expect("letters and digits are an id");
            Visitor { id, name: None, grant: None }
        });
        let session = SessionId::parse(&session).expect("a nonce and a signature are a session id");
        (visitor, session)
    }

    fn sign(&self, text: &str) -> String {
        jsonwebtoken::crypto::sign(text.as_bytes(), &self.encoding, Algorithm::HS256)
            .expect("HS256 signs whatever it is given")
    }

    /// The `Set-Cookie` that makes whoever sent a request with these headers `visitor`.
    pub fn set_cookie(&self, headers: &HeaderMap, visitor: &Visitor) -> HeaderValue {
        let (name, more) = match is_secure(headers) {
            true => (SECURE_COOKIE, "; HttpOnly; Secure"),
            false => (COOKIE, "; HttpOnly"),
        };
        let (token, exp) = self.token(visitor);
        lasting_cookie(&cookie_name(name), &token, exp.saturating_sub(now_ms() / 1000), more)
    }

    /// A token that makes its bearer `visitor`.
    pub fn issue(&self, visitor: &Visitor) -> String {
        self.token(visitor).0
    }

    /// A token that makes its bearer `visitor`, and until when: seconds since 1970. What is granted ends when it would
    /// have.
    pub(crate) fn token(&self, visitor: &Visitor) -> (String, u64) {
        let Visitor { id, name, grant } = visitor;
        let exp = grant.as_ref().map_or(now_ms() / 1000 + LIFETIME, |grant| grant.exp);
        let claims = Claims {
            sub: id.to_string(),
            name: name.as_ref().map(ToString::to_string),
            exp,
            hubbub: grant.as_ref().map(|grant| grant.rights.claim()),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("strings and numbers encode");
        (token, exp)
    }
}

/// 32 bytes, as HS256 asks for (RFC 7518 section 3.2): two random UUIDs, of which 244 bits are random.
pub(crate) fn new_key() -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    key
}

/// Writes a file that only the process's own user may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    // Written aside and put in place whole: a crash in between leaves no half a key.
    let aside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(aside, path)
}

/// Whether a request came by TLS, to the proxy that is trusted; what others say of it has been taken out.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes() == b"https")
}

/// By which scheme and name the request has come here. The name was checked.
pub(crate) fn own_origin(headers: &HeaderMap) -> String {
    let host = headers
        .get(axum::http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    format!("{}://{host}", if is_secure(headers) { "https" } else { "http" })
}

/// The name with the base of the site in it: two hubs on one host, each under a path, have each its own.
fn cookie_name(name: &str) -> String {
    format!("{name}{}", app::base::base().replace('/', "-"))
}

/// The value of the cookie `name` (RFC 6265 section 4.2).
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.typed_get::<Cookie>()?.get(name).map(str::to_owned)
}

/// A cookie for the whole site that pages of other sites can't make the browser send along.
pub fn lasting_cookie(name: &str, value: &str, seconds: u64, more: &str) -> HeaderValue {
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; SameSite=Lax{more}");
    HeaderValue::from_str(&text).expect("names and values are our own ASCII")
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::*;

    #[test]
    fn where_there_is_tls_only_a_cookie_of_this_very_host_counts() {
        let (identity, ada) = (Identity::ephemeral(), Visitor::guest());
        let mut tls = HeaderMap::new();
        tls.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        let given = identity.set_cookie(&tls, &ada);
        let given = given.to_str().unwrap();
        assert!(given.starts_with("__Host-hubbub=") && given.contains("; Secure"), "{given}");
        assert!(given.contains("; Path=/") && !given.contains("Domain"), "{given}");
        let shown = |name: &str| {
            let mut headers = tls.clone();
            let pair = format!("{name}={}", identity.token(&ada).0);
            headers.insert(header::COOKIE, pair.parse().unwrap());
            identity.visitor(&headers).map(|(visitor, _)| visitor)
        };
        assert_eq!(shown("__Host-hubbub"), Some(ada.clone()));
        assert_eq!(shown("hubbub"), None);
    }

    fn headers(set_cookie: &HeaderValue) -> HeaderMap {
        let pair = set_cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&pair).unwrap())])
    }

    #[test]
    fn whoever_shows_the_cookie_is_who_it_names() {
        let identity = Identity::ephemeral();
        let ada =
            Visitor { name: Some(MemberName::parse("에이다").unwrap()), ..Visitor::guest() };
        let headers = headers(&identity.set_cookie(&HeaderMap::new(), &ada));
        assert_eq!(identity.visitor(&headers), Some((ada, false)));
    }

    #[test]
    fn a_token_signed_with_another_key_names_nobody() {
        let headers =
            headers(&Identity::ephemeral().set_cookie(&HeaderMap::new(), &Visitor::guest()));
        assert_eq!(Identity::ephemeral().visitor(&headers), None);
    }

    #[test]
    fn a_token_that_is_not_signed_names_nobody() {
        // {"alg":"none"} . {"sub":"ada","exp":9999999999}
        let forged = "hubbub=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.";
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(forged))]);
        assert_eq!(Identity::ephemeral().visitor(&headers), None);
    }

    #[test]
    fn a_session_is_known_again_by_its_own_member_and_by_nobody_else() {
        let identity = Identity::ephemeral();
        let (ada, bob) = (Visitor::guest(), Visitor::guest());
        let (_, session) = identity.recognise(Some(ada.clone()), None);
        let recognise = |visitor: Option<&Visitor>, session: &str| {
            identity.recognise(visitor.cloned(), Some(session)).1
        };
        assert_eq!(recognise(Some(&ada), session.as_str()), session);
        assert_ne!(recognise(Some(&bob), session.as_str()), session);
        assert_ne!(recognise(None, session.as_str()), session);
        for forged in
            ["", ".", "x", "x.y", "0123456789abcdef.", session.as_str().trim_end_matches('x')]
        {
            let (_, other) = Identity::ephemeral().recognise(Some(ada.clone()), Some(forged));
            assert_ne!(other.as_str(), forged);
        }
    }

    #[test]
    fn a_guest_that_comes_back_with_its_session_is_the_same_member() {
        let identity = Identity::ephemeral();
        let (guest, session) = identity.recognise(None, None);
        assert_eq!(identity.recognise(None, Some(session.as_str())), (guest.clone(), session));
        assert_ne!(identity.recognise(None, None).0, guest);
    }

    #[test]
    fn the_key_is_made_once_and_only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("hubbub-{}", Uuid::new_v4()));
        let ada = Visitor::guest();
        let headers = headers(&Identity::load(&dir).unwrap().set_cookie(&HeaderMap::new(), &ada));
        let visitor = Identity::load(&dir).unwrap().visitor(&headers);
        assert_eq!(visitor.map(|(visitor, _)| visitor), Some(ada));
        let mode = fs::metadata(dir.join("token.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(dir).unwrap();
    }
}
