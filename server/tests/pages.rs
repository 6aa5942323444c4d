//! Pages, forms and files over HTTP, as a browser without JavaScript and as a program see them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::io::Read;

use clap::Parser;
use reqwest::{Client as Http, Response, StatusCode, header, redirect::Policy};
use support::*;

fn http() -> Http {
    Http::builder().redirect(Policy::none()).build().unwrap()
}

async fn get(server: &TestServer, path: &str) -> Response {
    http().get(server.url(path)).send().await.unwrap()
}

async fn post(server: &TestServer, path: &str, body: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http()
        .post(server.url(path))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn cookie(response: &Response) -> String {
    let value = response.headers()[header::SET_COOKIE].to_str().unwrap();
    value.split(';').next().unwrap().to_owned()
}

const BROWSER: (&str, &str) = ("accept", "text/html");

#[tokio::test]
async fn a_form_says_it_and_leads_back_to_the_room() {
    let server = TestServer::start().await;
    let said =
        post(&server, "/api/rooms/tea/messages", "message=hello+there&name=Ada", &[BROWSER]).await;
    assert_eq!(said.status(), StatusCode::SEE_OTHER);
    assert_eq!(said.headers()[header::LOCATION], "/rooms/tea");
    let ada = cookie(&said);
    let page = http().get(server.url("/rooms/tea")).header("cookie", ada).send().await.unwrap();
    assert!(!page.headers().contains_key(header::SET_COOKIE));
    let html = page.text().await.unwrap();
    assert!(html.contains("hello there"));
    assert!(html.contains("Ada"));
}

#[tokio::test]
async fn a_form_sent_twice_says_it_once() {
    let server = TestServer::start().await;
    let mut reader = server.join_plain("?room=tea").await;
    for _ in 0..2 {
        post(&server, "/api/rooms/tea/messages", "message=once&id=f1", &[BROWSER]).await;
    }
    post(&server, "/api/rooms/tea/messages", "message=end", &[BROWSER]).await;
    assert_eq!((reader.hear().await, reader.hear().await), ("once".into(), "end".into()));
}

#[tokio::test]
async fn a_refused_text_comes_back_in_the_field_and_can_not_become_markup() {
    let server = TestServer::start().await;
    let text = format!("</textarea><script>alert(1)</script>{}", "x".repeat(17_000));
    let body = format!("message={}", client::encode_component(&text));
    let refused = post(&server, "/api/rooms/tea/messages", &body, &[BROWSER]).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let html = refused.text().await.unwrap();
    assert!(html.contains("at most 16384 bytes"));
    assert!(html.contains("&lt;/textarea&gt;&lt;script&gt;alert(1)"));
    assert!(!html.contains("<script>alert(1)"));
}

#[tokio::test]
async fn what_people_write_is_text_on_the_page_and_in_its_data() {
    let server = TestServer::start().await;
    let nasty = "<script>alert(1)</script><img src=x onerror=alert(2)>";
    let body = format!("message={0}&name={0}", client::encode_component(nasty).replace("%2F", ""));
    assert_eq!(
        post(&server, "/api/rooms/tea/messages", &body, &[BROWSER]).await.status(),
        StatusCode::SEE_OTHER
    );
    let html = get(&server, "/rooms/tea").await.text().await.unwrap();
    assert!(html.contains("&lt;script&gt;alert(1)"));
    assert!(!html.contains("<script>alert") && !html.contains("<img src=x"));
}

#[tokio::test]
async fn bad_forms_are_refused_by_field() {
    let server = TestServer::start().await;
    let path = "/api/rooms/tea/messages";
    let huge = format!("message={}", "x".repeat(3_000_000));
    for (body, status, field) in [
        ("message=", 400, "value"),
        ("", 400, "value"),
        ("message=%00", 400, "value"),
        ("message=hi&name=a%2Fb", 400, "name"),
        ("message=hi&id=", 400, "id"),
        (&huge, 413, "body"),
    ] {
        let refused = post(&server, path, body, &[]).await;
        let short: String = body.chars().take(30).collect();
        assert_eq!(refused.status().as_u16(), status, "{short}");
        let problem: serde_json::Value =
            serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
        assert_eq!(problem["field"], field, "{short}");
    }
    let json = http().post(server.url(path)).header("content-type", "text/csv").body("a,b");
    assert_eq!(json.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let long = format!("/api/rooms/{}/messages", "r".repeat(65));
    assert_eq!(
        post(&server, &long, "message=hi", &[]).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn forms_of_foreign_pages_are_refused() {
    let server = TestServer::start().await;
    let foreign = ("origin", "https://evil.example");
    for path in ["/api/rooms/tea/messages", "/settings"] {
        let refused = post(&server, path, "message=hi&name=Eve", &[foreign]).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn whoever_posts_too_much_is_held_to_the_rate() {
    let server = TestServer::with(|config| config.publish_rate = 1).await;
    let mut statuses = Vec::new();
    for n in 0..6 {
        let body = format!("message={n}");
        statuses.push(post(&server, "/api/rooms/tea/messages", &body, &[]).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
}

#[tokio::test]
async fn settings_are_kept_in_cookies_and_lead_back() {
    let server = TestServer::start().await;
    let set = post(&server, "/settings", "lang=ko&back=%2Frooms%2Ftea", &[BROWSER]).await;
    assert_eq!(
        (set.status(), &set.headers()[header::LOCATION]),
        (StatusCode::SEE_OTHER, &"/rooms/tea".parse().unwrap())
    );
    let page = http().get(server.url("/")).header("cookie", cookie(&set)).send().await.unwrap();
    assert!(page.text().await.unwrap().contains(r#"<html lang="ko""#));
    let away = post(&server, "/settings", "theme=dark&back=%2F%2Fevil.example", &[BROWSER]).await;
    assert_eq!(away.headers()[header::LOCATION], "/");
    let bad = post(&server, "/settings", "theme=pink", &[BROWSER]).await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_language_is_negotiated() {
    let server = TestServer::start().await;
    for (asks, lang) in [("ko-KR,ko;q=0.9,en;q=0.8", "ko"), ("en-GB,ko;q=0.5", "en")] {
        let page =
            http().get(server.url("/")).header("accept-language", asks).send().await.unwrap();
        assert!(page.text().await.unwrap().contains(&format!(r#"<html lang="{lang}""#)), "{asks}");
    }
}

#[tokio::test]
async fn an_unknown_page_is_a_page_with_status_404_and_an_unknown_api_a_problem() {
    let server = TestServer::start().await;
    let long = format!("/rooms/{}", "r".repeat(65));
    for path in ["/nowhere", "/rooms/a%2Fb", "/rooms/%FF", "/rooms/a/b", &long] {
        let page = get(&server, path).await;
        assert_eq!(page.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(page.text().await.unwrap().contains("There is nothing here"), "{path}");
    }
    let api = get(&server, "/api/nowhere").await;
    assert_eq!(api.status(), StatusCode::NOT_FOUND);
    assert_eq!(api.headers()[header::CONTENT_TYPE], "application/problem+json; charset=utf-8");
    let wrong = http().delete(server.url("/rooms/tea")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn opening_a_room_by_name_leads_there_or_says_why_not() {
    let server = TestServer::start().await;
    let opened = get(&server, "/rooms?room=%EB%8B%A4+%EB%B0%A9").await;
    assert_eq!(opened.headers()[header::LOCATION], "/rooms/%EB%8B%A4%20%EB%B0%A9");
    let refused = get(&server, "/rooms?room=a%2Fb").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let html = refused.text().await.unwrap();
    assert!(html.contains(r#"value="a/b""#) && html.contains("no slash"));
}

#[tokio::test]
async fn a_plain_get_on_the_socket_says_to_upgrade() {
    let server = TestServer::start().await;
    let refused = get(&server, "/ws").await;
    assert_eq!(refused.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(refused.headers()[header::UPGRADE], "websocket");
}

#[tokio::test]
async fn a_page_lets_only_its_own_scripts_run() {
    let server = TestServer::start().await;
    let page = get(&server, "/rooms/tea").await;
    let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    assert!(nonce.len() >= 16);
    let html = page.text().await.unwrap();
    let scripts: Vec<_> = html.match_indices("<script").map(|(at, _)| &html[at..]).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        let tag = &script[..script.find('>').unwrap()];
        assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "{tag}");
    }
    let again = get(&server, "/rooms/tea").await;
    assert!(!again.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains(&nonce));
}

#[tokio::test]
async fn files_come_compressed_with_their_type_and_are_not_sent_again() {
    let server = TestServer::start().await;
    for (path, kind) in [
        ("/pkg/hubbub.wasm", "application/wasm"),
        ("/pkg/hubbub.js", "text/javascript; charset=utf-8"),
        ("/pkg/hubbub.css", "text/css; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
    ] {
        let mut etags = Vec::new();
        for (accept, encoding) in [("br, gzip", Some("br")), ("gzip", Some("gzip")), ("", None)] {
            let ask = || http().get(server.url(path)).header("accept-encoding", accept);
            let file = ask().send().await.unwrap();
            assert_eq!(file.headers()[header::CONTENT_TYPE], kind, "{path}");
            let sent = file.headers().get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap());
            assert_eq!(sent, encoding, "{path}");
            let etag = file.headers()[header::ETAG].clone();
            let again = ask().header("if-none-match", &etag).send().await.unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert!(again.bytes().await.unwrap().is_empty());
            etags.push(etag);
        }
        etags.dedup();
        assert_eq!(etags.len(), 3, "{path}: a strong ETag is of one encoding");
    }
}

#[tokio::test]
async fn pages_are_packed_for_whoever_takes_that_unless_there_are_secrets_on_them() {
    let turn = |config: &mut server::Config| {
        let file = std::env::temp_dir().join(format!("hubbub-turn-{}", uuid::Uuid::new_v4()));
        std::fs::write(&file, "the secret of this test\n").unwrap();
        let flags = ["--turn", "turn:turn.example.org", "--turn-secret", file.to_str().unwrap()];
        let told = server::Config::parse_from(["hubbub"].into_iter().chain(flags));
        std::fs::remove_file(&file).unwrap();
        (config.turn, config.turn_secret) = (told.turn, told.turn_secret);
    };
    let (plain, secretive) = (TestServer::start().await, TestServer::with(turn).await);
    for (server, encoding) in [(&plain, Some("gzip")), (&secretive, None)] {
        let ask = |accept| http().get(server.url("/lab")).header("accept-encoding", accept).send();
        let (packed, whole) = (ask("gzip").await.unwrap(), ask("identity").await.unwrap());
        assert!(packed.headers()[header::VARY].to_str().unwrap().contains("accept-encoding"));
        let sent = packed.headers().get(header::CONTENT_ENCODING);
        assert_eq!(sent.map(|value| value.to_str().unwrap()), encoding);
        let whole = whole.bytes().await.unwrap();
        let bytes = packed.bytes().await.unwrap();
        if encoding.is_some() {
            assert!(bytes.len() * 2 < whole.len(), "{} of {}", bytes.len(), whole.len());
            let mut text = String::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            assert!(text.starts_with("<!DOCTYPE html>") && text.contains("</html>"), "{text}");
        }
    }
}

#[tokio::test]
async fn it_says_that_it_is_well() {
    let server = TestServer::start().await;
    assert_eq!(get(&server, "/healthz").await.text().await.unwrap(), "ok\n");
}

#[tokio::test]
async fn head_asks_for_the_same_as_get_without_the_body() {
    let server = TestServer::start().await;
    let http = Http::builder().redirect(Policy::none()).build().unwrap();
    for path in ["/", "/rooms/tea", "/rooms?room=tea", "/rooms?room=", "/nowhere", "/healthz"] {
        let got = http.get(server.url(path)).send().await.unwrap();
        let asked = http.head(server.url(path)).send().await.unwrap();
        assert_eq!(asked.status(), got.status(), "{path}");
        assert_eq!(asked.text().await.unwrap(), "", "{path}");
    }
}

/// A page of a room that is full of long messages reaches somebody who reads slowly, whole; and is not too long.
#[tokio::test]
async fn a_long_page_is_bounded_and_reaches_whoever_reads_slowly() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::with(|config| config.publish_rate = 0).await;
    let value = "<".repeat(16_000);
    for _ in 0..100 {
        let body = format!(r#"{{"value":"{value}"}}"#);
        let headers = [("content-type", "application/json")];
        let said = post(&server, "/api/rooms/tea/messages", &body, &headers).await;
        assert_eq!(said.status(), StatusCode::OK);
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let request = "GET /rooms/tea HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut page, mut bytes) = (Vec::new(), [0; 2048]);
    loop {
        let count = stream.read(&mut bytes).await.unwrap();
        if count == 0 {
            break;
        }
        page.extend_from_slice(&bytes[..count]);
        if page.len() % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let page = String::from_utf8(page).unwrap();
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap(), "it was cut off");
    // Nine of them; each escaped in the markup, and once more as data.
    assert!((500_000..2_500_000).contains(&page.len()), "{}", page.len());
}
