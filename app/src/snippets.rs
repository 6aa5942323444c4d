//! How to join a room from a program: snippets that work as they are, with the room's own address. The
//! README has the same ones, and a test runs them all.

use client::encode_component;

use crate::base;

/// One way to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// By what; the same in every language.
    pub name: &'static str,
    /// A word for tests and style sheets.
    pub word: &'static str,
    /// To be copied as it is.
    pub code: String,
}

/// The snippets for the room `room` of the server at `origin`, such as `http://127.0.0.1:3000`.
pub fn snippets(origin: &str, room: &str) -> Vec<Snippet> {
    let (base, origin) = (base::base(), format!("{origin}{}", base::base()));
    let socket = origin.replacen("http", "ws", 1);
    // That library takes a path of the address for something else.
    let (host, at) = match base {
        "" => (&*origin, String::new()),
        _ => (origin.trim_end_matches(base), format!(r#"path: "{base}/socket.io/", "#)),
    };
    let path = encode_component(room);
    let messages = format!("{origin}/api/rooms/{path}/messages");
    // As JavaScript and JSON write a string.
    let name = serde_json::to_string(room).unwrap_or_default();
    let snippet = |word, name, code| Snippet { name, word, code };
    vec![
        snippet("curl", "curl", format!("curl -d 'hello from curl' {messages}")),
        snippet(
            "websocket",
            "JavaScript, WebSocket",
            format!(
                r#"const socket = new WebSocket("{socket}/ws?room={path}");
socket.onmessage = (event) => console.log(JSON.parse(event.data).params.value);
socket.onopen = () => socket.send(JSON.stringify({{ type: "message", params: {{ value: "hi" }} }}));"#
            ),
        ),
        snippet(
            "events",
            "JavaScript, EventSource",
            format!(
                r#"const events = new EventSource("{origin}/api/rooms/{path}/events?after=0");
events.addEventListener("message", (event) => console.log(JSON.parse(event.data).params.value));"#
            ),
        ),
        snippet(
            "socketio",
            "JavaScript, Socket.IO",
            format!(
                r#"import {{ io }} from "socket.io-client";
const socket = io("{host}", {{ {at}auth: {{ room: {name} }} }});
socket.on("message", (value, meta) => console.log(`${{meta.from.name}}: ${{value}}`));
socket.emit("message", "hi from Socket.IO");"#
            ),
        ),
        snippet(
            "python",
            "Python, websockets",
            format!(
                r#"import asyncio, json
from websockets.asyncio.client import connect

async def main():
    async with connect("{socket}/ws?room={path}") as socket:
        await socket.send(json.dumps({{"type": "message", "params": {{"value": "hi from Python"}}}}))
        async for frame in socket:
            print(json.loads(frame)["params"]["value"], flush=True)

asyncio.run(main())"#
            ),
        ),
        snippet(
            "shell",
            "sh, long polling",
            format!(
                r#"at=0
while page=$(curl -fsS "{messages}?after=$at&wait=30"); do
  at=$(printf %s "$page" | sed 's/^{{"position":"\([^"]*\)".*/\1/')
  echo "$page"
done"#
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_same_snippets() {
        let readme = include_str!("../../README.md");
        for snippet in snippets("http://127.0.0.1:3000", "tea") {
            assert!(readme.contains(&snippet.code), "README.md lacks:\n{}", snippet.code);
        }
    }

    #[test]
    fn a_room_of_any_name_is_written_so_that_it_can_be_pasted() {
        let snippets = snippets("https://hub.example", "a\"차'");
        assert!(snippets[0].code.ends_with("/api/rooms/a%22%EC%B0%A8%27/messages"));
        assert!(snippets[1].code.contains("wss://hub.example/ws?room=a%22"));
        assert!(snippets[3].code.contains(r#"auth: { room: "a\"차'" }"#));
    }
}
