//! A chat in a terminal: `cargo run -p client --features native --example chat -- tea Ada`.
#![allow(clippy::print_stdout)]

use client::native::join;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let room = words.next().unwrap_or_else(|| "lobby".to_owned());
    let name = words.next().unwrap_or_else(|| "terminal".to_owned());
    let server = std::env::var("HUBBUB").unwrap_or_else(|_| "http://127.0.0.1:3000".to_owned());

    let mut room = join(&server, &room).name(&name).await?;
    let speaker = room.speaker();
    tokio::spawn(async move {
        while let Some(message) = room.next().await {
            println!("{}: {}", message.from.name, message.value);
        }
    });
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        if let Err(error) = speaker.say(&line).await {
            println!("({error})");
        }
    }
    Ok(())
}
