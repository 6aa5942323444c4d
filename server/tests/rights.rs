//! Who may do what where rooms are for those with a token: every right, on every transport, for every action.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{
    Engine,
    prelude::{BASE64_STANDARD as STANDARD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use server::{issuers::Key, rights::Access};
use support::{
    road::{ROADS, Road, Traveller},
    *,
};

const SECRET: &[u8] = b"a secret of the operator's, long enough";

/// A file that is there as long as this.
struct File(PathBuf);

impl File {
    fn of(bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("hubbub-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn now() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

fn token_of(sub: &str, hubbub: &Value, seconds: u64) -> String {
    sign(&json!({"sub": sub, "name": sub, "exp": now() + seconds, "hubbub": hubbub}))
}

fn token(hubbub: &Value) -> String {
    token_of("ada", hubbub, 600)
}

/// A server for those with a token of the operator's.
async fn server() -> TestServer {
    let file = File::of(SECRET);
    let key = Key::load(file.0.to_str().unwrap()).unwrap();
    TestServer::with(|config| {
        config.access = Access::Tokens;
        config.token_keys = vec![key];
        config.publish_rate = 0;
        config.timing.grace = Duration::from_secs(2);
    })
    .await
}

async fn ask(server: &TestServer, path: &str, token: Option<&str>) -> (u16, Value) {
    let mut request = reqwest::Client::new().get(server.url(path));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

async fn say(server: &TestServer, room: &str, token: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(server.url(&format!("/api/rooms/{room}/messages")));
    let answer = request.bearer_auth(token).json_text(r#"{"value":"hi"}"#).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

trait JsonText {
    fn json_text(self, text: &'static str) -> Self;
}

impl JsonText for reqwest::RequestBuilder {
    fn json_text(self, text: &'static str) -> Self {
        self.header(header::CONTENT_TYPE, "application/json").body(text)
    }
}

#[tokio::test]
async fn every_right_holds_on_every_transport_for_every_action() {
    let server = server().await;
    let address = server.address.to_string();
    for (hubbub, may_read, may_write) in [
        (json!({"read": ["tea"]}), true, false),
        (json!({"write": ["t*"]}), false, true),
        (json!({"read": ["*"], "write": ["tea"]}), true, true),
        (json!({"manage": ["tea"]}), true, true),
        (json!({"read": ["coffee"], "write": ["coffee"]}), false, false),
        (json!({}), false, false),
    ] {
        let token = token(&hubbub);
        let knows = may_read || may_write;
        let query = format!("token={token}");
        for road in ROADS {
            let traveller = Traveller::join(&address, road, "tea", &query).await;
            assert_eq!(traveller.is_ok(), may_read, "{road:?} {hubbub}");
            let Ok(mut traveller) = traveller else { continue };
            assert_eq!(traveller.hello["read_only"] == true, !may_write, "{road:?} {hubbub}");
            assert!(traveller.hello["expires_in_ms"].as_u64().unwrap() <= 600_000);
            for frame in [
                json!({"type": "message", "params": {"value": "hi"}}),
                json!({"type": "typing", "params": {}}),
                json!({"type": "direct", "params": {"direct": true}}),
                json!({"type": "call", "params": {"call": true}}),
                json!({"type": "signalling", "params": {"to": "nobody", "data": 1}}),
            ] {
                match may_write {
                    // Those others see have no answer; it is enough that the next one has.
                    true if frame["type"] == "message" => {
                        assert!(traveller.send(frame).await.unwrap()["offset"].is_u64());
                    }
                    true => {}
                    false if road == Road::SocketIo && frame["type"] == "message" => {
                        let answer = traveller.send(frame).await.unwrap();
                        assert_eq!(answer["code"], "forbidden", "{road:?}");
                    }
                    false => {
                        let refusal = traveller.refused(frame.clone()).await;
                        assert_eq!(refusal["code"], "forbidden", "{road:?} {frame}");
                        let text = refusal["message"].as_str().or(refusal["detail"].as_str());
                        assert!(text.unwrap().contains("`write`"), "{refusal}");
                    }
                }
            }
        }
        let read = if may_read {
            200
        } else if knows {
            403
        } else {
            404
        };
        let write = if may_write {
            200
        } else if knows {
            403
        } else {
            404
        };
        for path in ["messages", "messages?q=hi", "messages?after=0", "members", "frames", "events"]
        {
            let path = format!("/api/rooms/tea/{path}");
            if read == 200 && path.ends_with("events") {
                continue;
            }
            let (status, problem) = ask(&server, &path, Some(&token)).await;
            assert_eq!(status, read, "{path} {hubbub} {problem}");
            if read == 403 {
                assert!(problem["detail"].as_str().unwrap().contains("`read`"), "{problem}");
            }
        }
        let (status, problem) = say(&server, "tea", &token).await;
        assert_eq!(status, write, "{hubbub} {problem}");
    }
}

#[tokio::test]
async fn a_room_that_one_may_not_read_is_as_one_that_is_not_there() {
    let server = server().await;
    let all = token(&json!({"manage": ["*"]}));
    say(&server, "secret", &all).await;
    say(&server, "open-tea", &all).await;
    let some = token(&json!({"read": ["open-*"]}));
    let (_, rooms) = ask(&server, "/api/rooms", Some(&some)).await;
    let names: Vec<_> =
        rooms["rooms"].as_array().unwrap().iter().map(|room| &room["name"]).collect();
    assert_eq!(names, ["open-tea"]);
    let nothing = ask(&server, "/api/nothing", Some(&some)).await;
    for path in ["messages", "messages?q=hi", "members", "events", "frames"] {
        for room in ["secret", "never-was"] {
            let answer = ask(&server, &format!("/api/rooms/{room}/{path}"), Some(&some)).await;
            assert_eq!(answer, nothing, "{room} {path}");
        }
    }
    let page = async |path: &str| {
        let cookie = format!("hubbub={some}");
        let request = reqwest::Client::new().get(server.url(path)).header(header::COOKIE, cookie);
        let answer = request.header(header::ACCEPT, "text/html").send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    assert_eq!(page("/rooms/open-tea").await.0, StatusCode::OK);
    assert_eq!(page("/rooms/secret").await.0, StatusCode::NOT_FOUND);
    assert_eq!(page("/rooms/secret?q=hi").await.0, StatusCode::NOT_FOUND);
    let (status, home) = page("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(home.contains("open-tea") && !home.contains("secret"));
}

#[tokio::test]
async fn without_a_token_there_is_nothing_but_the_question_for_one() {
    let server = server().await;
    for path in ["/api/rooms", "/api/rooms/tea/messages", "/api/rooms/tea/events", "/api/ice"] {
        let (status, problem) = ask(&server, path, None).await;
        assert_eq!((status, &problem["code"]), (401, &json!("invalid_token")), "{path}");
    }
    let refused = Client::open(&server, "?room=tea", &[]).await.map(|_| ()).unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (401, "invalid_token"));
    let given = reqwest::Client::new().post(server.url("/api/token")).send().await.unwrap();
    assert_eq!(given.status(), StatusCode::UNAUTHORIZED);
    for path in ["/", "/rooms/tea", "/rooms/tea?q=x", "/lab"] {
        let answer = reqwest::get(server.url(path)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(answer.headers().get(header::SET_COOKIE).is_none(), "{path}");
        assert!(answer.text().await.unwrap().contains("By invitation only"), "{path}");
    }
}

#[tokio::test]
async fn a_link_with_a_token_becomes_a_cookie_that_lasts_no_longer() {
    let server = server().await;
    let token = token(&json!({"read": ["tea"], "write": ["tea"]}));
    let settings = async |token: &str| {
        let request = reqwest::Client::new().post(server.url("/settings"));
        let body = format!("token={token}");
        let form = "application/x-www-form-urlencoded";
        request.header(header::CONTENT_TYPE, form).body(body).send().await.unwrap()
    };
    assert_eq!(settings("no").await.status(), StatusCode::UNAUTHORIZED);
    let answer = settings(&token).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    let age = cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap();
    assert!((500..=600).contains(&age.parse::<u64>().unwrap()), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let page = reqwest::Client::new().get(server.url("/rooms/tea")).header(header::COOKIE, pair);
    let page = page.send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    // The cookie is not made to last by being used.
    assert!(page.headers().get(header::SET_COOKIE).is_none());
    assert!(page.text().await.unwrap().contains("ada"));
}

#[tokio::test]
async fn a_live_connection_goes_on_with_a_new_token_and_ends_without_one() {
    let server = server().await;
    let claim = json!({"read": ["tea"], "write": ["tea"]});
    // Clocks may differ, so one is let in with it; it holds for nothing any more but to read for a while.
    let short = token_of("ada", &claim, 0);
    let mut bob = server.join(&format!("?room=tea&token={}", token_of("bob", &claim, 60))).await;
    let mut kept = server.join(&format!("?room=tea&token={short}")).await;
    let mut lost = server.join(&format!("?room=tea&token={short}")).await;
    let renew = |token: &str| json!({"type": "token", "params": {"token": token}}).to_string();
    kept.send(&renew(&token_of("bob", &claim, 60))).await;
    assert_eq!(kept.next_of("error").await["field"], "token");
    kept.send(&renew("x")).await;
    assert_eq!(kept.next_of("error").await["code"], "invalid_token");
    kept.send(&renew(&token_of("ada", &claim, 60))).await;
    assert!(kept.next_of("terms").await["expires_in_ms"].as_u64().unwrap() > 50_000);
    // The other may read for a while, and not write.
    lost.next_of("hello").await;
    lost.say("still here").await;
    assert_eq!(lost.next_of("error").await["code"], "invalid_token");
    bob.say("to all").await;
    while lost.hear().await != "to all" {}
    assert_eq!(lost.next_of("bye").await["code"], 4003);
    let closed = lost.closed().await.unwrap();
    assert_eq!(u16::from(closed.code), 4003);
    kept.say("I am").await;
    while kept.hear().await != "I am" {}
}

#[tokio::test]
async fn a_narrower_token_ends_what_it_does_not_cover() {
    let server = server().await;
    let wide = token(&json!({"read": ["*"], "write": ["*"]}));
    let mut ada = server.join(&format!("?room=tea&token={wide}")).await;
    let renew =
        |claim: Value| json!({"type": "token", "params": {"token": token(&claim)}}).to_string();
    ada.send(&renew(json!({"read": ["tea"]}))).await;
    assert_eq!(ada.next_of("terms").await["read_only"], true);
    ada.say("no").await;
    assert_eq!(ada.next_of("error").await["code"], "forbidden");
    ada.send(&renew(json!({"read": ["coffee"]}))).await;
    assert_eq!(ada.next_of("bye").await["code"], 4004);
    assert_eq!(u16::from(ada.closed().await.unwrap().code), 4004);
}

#[tokio::test]
async fn tokens_that_are_no_good_are_refused_with_the_reason() {
    let server = server().await;
    let claim = json!({"read": ["tea"]});
    let good = json!({"sub": "ada", "exp": now() + 60, "hubbub": claim});
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        sign(&claims)
    };
    let without = |field: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(field);
        sign(&claims)
    };
    let other = EncodingKey::from_secret(b"another secret, which nobody here trusts");
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &good, &other).unwrap();
    let [_, body, signature] =
        <[String; 3]>::try_from(sign(&good).split('.').map(str::to_owned).collect::<Vec<_>>())
            .unwrap();
    // {"alg":"none"}
    let none = format!("eyJhbGciOiJub25lIn0.{body}.");
    // {"alg":"RS256"} over a secret
    let confused = format!("eyJhbGciOiJSUzI1NiJ9.{body}.{signature}");
    let hs512 = jsonwebtoken::encode(
        &Header::new(Algorithm::HS512),
        &good,
        &EncodingKey::from_secret(SECRET),
    );
    for (token, reason) in [
        (with("exp", json!(now() - 60)), "has expired"),
        (with("exp", json!("soon")), "exp"),
        (without("exp"), "`exp`"),
        (without("sub"), "`sub`"),
        (with("sub", json!("")), "`sub`"),
        (with("nbf", json!(now() + 60)), "`nbf`"),
        (with("aud", json!("others")), "`aud`"),
        (with("hubbub", json!({"read": [1]})), "`hubbub.read[0]`"),
        (with("hubbub", json!({"read": vec!["a"; 101]})), "100 patterns"),
        (with("name", json!("a/b")), "`name`"),
        (forged, "is not signed"),
        (none, "can't be read"),
        (confused, "is not signed"),
        (hs512.unwrap(), "is not signed"),
        ("x".repeat(5_000), "longer than 3840 bytes"),
        ("x".to_owned(), "can't be read"),
    ] {
        let (status, problem) = ask(&server, "/api/rooms/tea/messages", Some(&token)).await;
        assert_eq!((status, &problem["code"]), (401, &json!("invalid_token")), "{reason}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(reason), "{reason}: {detail}");
    }
    let (status, _) = ask(&server, "/api/rooms/tea/messages", Some(&sign(&good))).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn public_keys_in_pem_verify_what_their_private_ones_signed_and_nothing_else() {
    for (algorithm, private, public) in [
        (Algorithm::RS256, include_str!("keys/rsa.pem"), include_str!("keys/rsa.pub.pem")),
        (Algorithm::ES256, include_str!("keys/ec.pem"), include_str!("keys/ec.pub.pem")),
        (Algorithm::EdDSA, include_str!("keys/ed.pem"), include_str!("keys/ed.pub.pem")),
    ] {
        let file = File::of(public.as_bytes());
        let key = Key::load(file.0.to_str().unwrap()).unwrap();
        let server = TestServer::with(|config| {
            config.access = Access::Tokens;
            config.token_keys = vec![key];
            config.token_audiences = vec!["hub".to_owned()];
        })
        .await;
        let claims = |aud: &str| json!({"sub": "ada", "aud": aud, "exp": now() + 60, "hubbub": {"read": ["tea"]}});
        let read = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem,
            Algorithm::ES256 => EncodingKey::from_ec_pem,
            _ => EncodingKey::from_ed_pem,
        };
        let key = read(private.as_bytes()).unwrap();
        let sign =
            |claims: &Value| jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap();
        let path = "/api/rooms/tea/messages";
        let status = async |token: &str| ask(&server, path, Some(token)).await.0;
        assert_eq!(status(&sign(&claims("hub"))).await, 200, "{algorithm:?}");
        assert_eq!(status(&sign(&claims("others"))).await, 401, "{algorithm:?}");
        // Its public key is known to all: as a secret it is worth nothing.
        let secret = EncodingKey::from_secret(public.as_bytes());
        let header = Header::new(Algorithm::HS256);
        let confused = jsonwebtoken::encode(&header, &claims("hub"), &secret).unwrap();
        assert_eq!(status(&confused).await, 401, "{algorithm:?}");
        assert!(Key::load(File::of(private.as_bytes()).0.to_str().unwrap()).is_err());
    }
}

#[tokio::test]
async fn where_access_is_open_everybody_comes_and_only_a_token_may_hand_out_tokens() {
    let server = TestServer::start().await;
    let request =
        |body: &'static str| reqwest::Client::new().post(server.url("/api/token")).json_text(body);
    let refused = request(r#"{"sub":"bob"}"#).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(request("{}").send().await.unwrap().status(), StatusCode::OK);
    let hello = server.join("?room=tea").await.next_of("hello").await;
    assert!(hello.get("expires_in_ms").is_none() && hello.get("read_only").is_none(), "{hello}");
}

const ED: &str = include_str!("keys/ed.pem");

/// A set of keys with the one of [`ED`] under this name, and a secret that should not be in any.
fn key_set(kid: &str) -> String {
    // The last 32 bytes of an Ed25519 key in DER are the key (RFC 8410 section 4).
    let pem = include_str!("keys/ed.pub.pem").lines().nth(1).unwrap();
    let der = STANDARD.decode(pem).unwrap();
    let x = URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
    json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid},
    ]})
    .to_string()
}

/// A server that trusts the keys at an address; the set there, and how often it was asked for.
async fn server_with_key_set(
    pause: Duration,
) -> (TestServer, Arc<Mutex<String>>, Arc<AtomicUsize>) {
    let (set, asked) = (Arc::new(Mutex::new(key_set("one"))), Arc::<AtomicUsize>::default());
    let (shown, count) = (set.clone(), asked.clone());
    let answer = axum::routing::get(async move || {
        count.fetch_add(1, Ordering::Relaxed);
        shown.lock().unwrap().clone()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/keys", answer);
    tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let server = TestServer::with(|config| {
        config.access = Access::Tokens;
        config.jwks = Some(format!("http://{address}/keys").parse().unwrap());
        config.timing.fetches = pause;
    })
    .await;
    (server, set, asked)
}

/// The status that a token has which names this key.
async fn status_with(server: &TestServer, kid: &str) -> u16 {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims = json!({"sub": "ada", "exp": now() + 60, "hubbub": {"read": ["tea"]}});
    let key = EncodingKey::from_ed_pem(ED.as_bytes()).unwrap();
    let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    ask(server, "/api/rooms/tea/messages", Some(&token)).await.0
}

async fn until_known(server: &TestServer, kid: &str) {
    let known = async { while status_with(server, kid).await != 200 {} };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
}

#[tokio::test]
async fn however_many_keys_are_made_up_nobody_waits_and_it_is_asked_once() {
    let (server, _, asked) = server_with_key_set(Duration::from_secs(600)).await;
    until_known(&server, "one").await;
    for n in 0..50 {
        assert_eq!(status_with(&server, &format!("unknown-{n}")).await, 401);
    }
    assert_eq!(status_with(&server, "one").await, 200);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_it_is_named_and_the_old_ones_stay_while_none_can_be_had() {
    let (server, set, asked) = server_with_key_set(Duration::from_millis(1)).await;
    until_known(&server, "one").await;
    *set.lock().unwrap() = "<html>a moment, please</html>".to_owned();
    let before = asked.load(Ordering::Relaxed);
    while asked.load(Ordering::Relaxed) == before {
        assert_eq!(status_with(&server, "two").await, 401);
    }
    assert_eq!(status_with(&server, "one").await, 200);
    *set.lock().unwrap() = key_set("two");
    until_known(&server, "two").await;
    assert_eq!(status_with(&server, "one").await, 401);
}
