//! What the log may never tell, however much it tells: who shows what it finds there is somebody else.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{fs, path::PathBuf};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::process::Hubbub;
use tokio_tungstenite::{connect_async, tungstenite::Message};

const SAID: &str = "the-words-of-somebody";

async fn json_of(request: reqwest::RequestBuilder) -> Value {
    serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
}

/// Uses every secret on every road, well and badly, and returns all of them.
async fn use_secrets(address: &str) -> Vec<String> {
    let (http, url) = (reqwest::Client::new(), format!("http://{address}"));
    let given = json_of(http.post(format!("{url}/api/token"))).await;
    let token = given["token"].as_str().unwrap().to_owned();
    let page = http.get(&url).send().await.unwrap();
    let cookie = page.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split_once('=').unwrap().1.split(';').next().unwrap().to_owned();
    let room = format!("{url}/api/rooms/lobby");
    let told = json_of(http.get(format!("{room}/frames?token={token}"))).await;
    let session = told["frames"][0]["params"]["session"].as_str().unwrap().to_owned();

    let said = json!({"value": SAID, "to": [session]}).to_string();
    let forged = format!("{token}x");
    for (token, session) in [(&token, &session), (&forged, &session), (&token, &forged)] {
        let who = format!("token={token}&session={session}");
        for path in ["messages", "frames", "members", "events?after=nonsense", "nowhere"] {
            let mark = if path.contains('?') { '&' } else { '?' };
            http.get(format!("{room}/{path}{mark}{who}")).send().await.unwrap();
        }
        for body in [said.clone(), format!("{said}}}"), format!("[{said}, 1]")] {
            let say = http.post(format!("{room}/messages?{who}")).body(body);
            let say = say.header("content-type", "application/json").bearer_auth(token);
            say.header("cookie", format!("hubbub={cookie}")).send().await.unwrap();
        }
        let rename = http.post(format!("{url}/api/token")).bearer_auth(token);
        rename
            .body(r#"{"name":"a/b"}"#)
            .header("content-type", "application/json")
            .send()
            .await
            .unwrap();
        if let Ok((mut socket, _)) = connect_async(format!("ws://{address}/ws?{who}")).await {
            for frame in [
                json!({"type": "message", "params": {"value": SAID, "to": [session]}}).to_string(),
                json!({"type": "token", "params": {"token": token}}).to_string(),
                json!({"type": "nothing", "params": {"token": token, "session": session}})
                    .to_string(),
                format!("{{{token}"),
            ] {
                socket.send(Message::text(frame)).await.unwrap();
            }
            socket.close(None).await.unwrap();
            while socket.next().await.is_some_and(|leg| leg.is_ok()) {}
        }
    }

    let polling = format!("{url}/socket.io/?EIO=4&transport=polling");
    let open = http.get(&polling).send().await.unwrap().text().await.unwrap();
    let sid = open.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let polling = format!("{polling}&sid={sid}");
    let auth = json!({"token": token, "session": session});
    for packet in [
        format!("40{auth}"),
        format!(r#"42["message","{SAID}"]"#),
        format!(r#"42["message","{SAID}""#),
        format!(r#"40{auth}x"#),
    ] {
        http.post(&polling).body(packet).send().await.unwrap();
        http.get(&polling).send().await.unwrap();
    }
    vec![token, cookie, session, sid, SAID.to_owned()]
}

#[tokio::test]
async fn no_secret_and_nothing_that_was_said_is_in_the_log() {
    let dir = std::env::temp_dir().join(format!("hubbub-secrets-{}", uuid::Uuid::new_v4()));
    let log: PathBuf = dir.with_extension("log");
    let hubbub = Hubbub::start_logging(dir.clone(), &log, &["--log", "trace"]).await;
    let secrets = use_secrets(&hubbub.address).await;
    drop(hubbub);
    let told = fs::read_to_string(&log).unwrap();
    assert!(told.contains("TRACE") || told.contains("DEBUG"), "the log tells nothing: {told}");
    for secret in &secrets {
        // The public part of a session may be told, and so may what a token says; what signs them may not.
        let secret = secret.rsplit('.').next().unwrap();
        assert!(secret.len() > 10, "{secret}");
        let line = told.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is told");
    }
    fs::remove_dir_all(dir).unwrap();
    fs::remove_file(log).unwrap();
}
