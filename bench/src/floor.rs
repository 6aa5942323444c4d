//! The cheapest server there can be on this machine: what anybody says is written to each who is there, one `write` each.
//!
//! It knows no limits, no slow readers and no half frames: it is what others are measured against.

use std::{cell::RefCell, io::ErrorKind, rc::Rc};

use tokio::{
    net::{TcpListener, TcpStream},
    task::{LocalSet, spawn_local},
};

use crate::Result;

type Room = Rc<RefCell<Vec<Rc<TcpStream>>>>;

/// What answers the one key that our clients send (RFC 6455, section 1.3).
const ANSWER: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

pub(crate) async fn run() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let room = Room::default();
    LocalSet::new()
        .run_until(async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                spawn_local(serve(Rc::new(stream), room.clone()));
            }
        })
        .await
}

async fn serve(stream: Rc<TcpStream>, room: Room) {
    // Whoever is gone is not written to.
    let _ = talk(&stream, &room).await;
    room.borrow_mut().retain(|one| !Rc::ptr_eq(one, &stream));
}

async fn talk(stream: &Rc<TcpStream>, room: &Room) -> Result {
    let mut came = Vec::new();
    while !came.ends_with(b"\r\n\r\n") {
        read(stream, &mut came).await?;
    }
    stream.try_write(ANSWER)?;
    room.borrow_mut().push(stream.clone());
    came.clear();
    loop {
        read(stream, &mut came).await?;
        // A masked text of less than 126 bytes, with a mask that changes nothing.
        while came.len() > 6 && came.len() >= 6 + usize::from(came[1] & 0x7f) {
            let length = usize::from(came[1] & 0x7f);
            let mut frame = vec![0x81, came[1] & 0x7f];
            frame.extend(came.drain(..6 + length).skip(6));
            for one in room.borrow().iter() {
                let _ = one.try_write(&frame);
            }
        }
    }
}

async fn read(stream: &TcpStream, into: &mut Vec<u8>) -> Result {
    loop {
        stream.readable().await?;
        match stream.try_read_buf(into) {
            Ok(0) => return Err("gone".into()),
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}
