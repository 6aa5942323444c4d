//! `hubbub admin`: what a backend does, from the shell, to a real server.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::process::Hubbub;
use tokio::process::Command;

struct Shell {
    hubbub: Hubbub,
    dir: std::path::PathBuf,
}

impl Shell {
    async fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("hubbub-admin-{}", uuid::Uuid::new_v4()));
        Self { hubbub: Hubbub::start(dir.clone(), "127.0.0.1:0").await, dir }
    }

    /// What it prints, or what it says is wrong.
    async fn admin(&self, words: &[&str]) -> Result<Value, String> {
        self.admin_at(&self.hubbub.address, words).await
    }

    async fn admin_at(&self, address: &str, words: &[&str]) -> Result<Value, String> {
        let url = format!("http://{address}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
        command.arg("--data").arg(&self.dir).args(["admin", "--url", &url]).args(words);
        let output = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        match output.status.success() {
            true => {
                let told = text(&output.stdout);
                Ok(serde_json::from_str(&told).unwrap_or(Value::String(told)))
            }
            false => Err(text(&output.stderr)),
        }
    }
}

#[tokio::test]
async fn a_server_is_managed_from_the_shell() {
    let shell = Shell::start().await;
    let said = shell.admin(&["say", "차 한잔", "hi", "--from", "ada", "Ada"]).await.unwrap();
    let offset = said["offset"].to_string();
    let rooms = shell.admin(&["rooms"]).await.unwrap();
    assert_eq!(rooms["rooms"][0]["name"], "차 한잔");
    assert_eq!(shell.admin(&["members", "차 한잔"]).await.unwrap()["count"], 0);
    assert_eq!(shell.admin(&["connections"]).await.unwrap()["count"], 0);
    assert_eq!(shell.admin(&["connections", "차 한잔"]).await.unwrap()["count"], 0);
    let set = ["set", "차 한잔", "slow_mode_ms=5000", "read_only=true"];
    let settings = shell.admin(&set).await.unwrap();
    assert_eq!((&settings["slow_mode_ms"], &settings["read_only"]), (&json!(5000), &json!(true)));
    assert_eq!(shell.admin(&["set", "차 한잔"]).await.unwrap(), settings);
    assert_eq!(shell.admin(&["take-back", "차 한잔", &offset]).await.unwrap(), "done");
    assert!(shell.admin(&["take-back", "차 한잔", &offset]).await.unwrap_err().contains("404"));
    for room in [None, Some("차 한잔")] {
        let of = |words: &[&'static str]| {
            let room = room.iter().flat_map(|room| ["--room", room]);
            words.iter().copied().chain(room).collect::<Vec<_>>()
        };
        shell.admin(&of(&["put-out", "eve", "--seconds", "60"])).await.unwrap();
        let out = ["out"].into_iter().chain(room).collect::<Vec<_>>();
        assert_eq!(shell.admin(&out).await.unwrap()["out"][0]["member"], "eve");
        assert_eq!(shell.admin(&of(&["let-in", "eve"])).await.unwrap(), "done");
        assert_eq!(shell.admin(&out).await.unwrap(), json!({"out": []}));
    }
    assert_eq!(shell.admin(&["clear", "차 한잔"]).await.unwrap(), "done");
    let wrong = shell.admin(&["set", "tea", "colour=1"]).await.unwrap_err();
    assert!(wrong.contains("colour") && wrong.contains("slow_mode_ms"), "{wrong}");
    let forged = shell.admin(&["--token", "forged", "rooms"]).await.unwrap_err();
    assert!(forged.contains("401"), "{forged}");
    let elsewhere = std::env::temp_dir().join("hubbub-nothing-here");
    let mut lost = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    lost.arg("--data").arg(&elsewhere).args(["admin", "rooms"]);
    let lost = lost.output().await.unwrap();
    assert!(String::from_utf8_lossy(&lost.stderr).contains("--data"));
    assert!(!elsewhere.exists());
    let nobody = shell.admin_at("127.0.0.1:1", &["rooms"]).await.unwrap_err();
    assert!(nobody.contains("http://127.0.0.1:1"), "{nobody}");
    std::fs::remove_dir_all(&shell.dir).unwrap();
}

#[tokio::test]
async fn a_room_hides_its_members_after_a_restart_as_before() {
    let mut shell = Shell::start().await;
    shell.admin(&["set", "tea", "hide_members=true"]).await.unwrap();
    let url = format!("ws://{}/ws?room=tea", shell.hubbub.address);
    let (_ada, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(shell.admin(&["connections"]).await.unwrap()["count"], 1);
    shell.hubbub = shell.hubbub.restart().await;
    // She is expected back, and nobody is told.
    assert_eq!(shell.admin(&["members", "tea"]).await.unwrap()["count"], 0);
    shell.admin(&["set", "tea", "hide_members=false"]).await.unwrap();
    assert_eq!(shell.admin(&["members", "tea"]).await.unwrap()["count"], 1);
    std::fs::remove_dir_all(&shell.dir).unwrap();
}
