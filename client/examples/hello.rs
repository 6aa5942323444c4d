//! In a room in ten lines: `cargo run -p client --features native --example hello`.
#![allow(clippy::print_stdout)]

use client::native::join;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or("http://127.0.0.1:3000".to_owned());
    let mut room = join(&server, "tea").name("crab").await?;
    room.say("hi from Rust").await?;
    while let Some(message) = room.next().await {
        println!("{}: {}", message.from.name, message.value);
    }
    Ok(())
}
