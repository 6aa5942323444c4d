//! A transport of the tests' own, to show what one takes: a line of JSON a frame, over plain TCP. The first
//! line a client sends says where it wants to go: `{"room", "after"?, "session"?}`.

use axum::http::HeaderMap;
use common::{ClientFrame, Refusal, ServerFrame};
use serde_json::Value;
use server::{
    caller::{Door, Entrance},
    session::{Answer, Out, Session, Wants},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

type Reading = Lines<BufReader<OwnedReadHalf>>;

/// Lets clients in as long as it is polled.
pub async fn serve(listener: TcpListener, door: Door) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(meet(stream, door.clone()));
    }
}

async fn meet(stream: TcpStream, door: Door) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let Ok(Some(wish)) = lines.next_line().await else { return };
    match enter(&wish, &door).await {
        Ok(session) => talk(session, lines, write).await,
        Err(refusal) => {
            let _ = write.write_all(&line(&ServerFrame::Error(refusal))).await;
        }
    }
}

async fn enter(wish: &str, door: &Door) -> Result<Session, Refusal> {
    let wish: Value = serde_json::from_str(wish).unwrap_or_default();
    let text = |field: &str| wish[field].as_str();
    let (room, after, session) = (text("room"), text("after"), text("session"));
    let entrance = Entrance { room, after, session, ..Entrance::default() };
    Session::enter(door.admit(&HeaderMap::new(), None, entrance)?, Wants::Everything).await
}

async fn talk(mut session: Session, mut lines: Reading, mut write: OwnedWriteHalf) {
    loop {
        tokio::select! {
            burst = session.next() => {
                let Ok(burst) = burst else { return };
                let bytes: Vec<u8> = burst.iter().flat_map(bytes).collect();
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            heard = lines.next_line(), if !session.is_full() => match heard {
                Ok(Some(line)) => session.take(ClientFrame::parse(&line), line.len(), None),
                Ok(None) => return session.leave().await,
                Err(_) => return,
            },
        }
    }
}

fn bytes(out: &Out) -> Vec<u8> {
    match out {
        Out::Message(record) => [record.frame.bytes(), &b"\n"[..]].concat(),
        Out::State(state) => [state.frame.bytes(), &b"\n"[..]].concat(),
        Out::Frame(frame) | Out::Answer(Answer { frame: Some(frame), .. }) => line(frame),
        Out::Answer(Answer { frame: None, .. }) => Vec::new(),
    }
}

fn line(frame: &ServerFrame) -> Vec<u8> {
    (frame.encode() + "\n").into_bytes()
}
