//! How long one text takes until it is with the last of many readers: the server with one core, and with two.
//!
//! Nobody reads meanwhile, for clients would need one of the two: what comes waits in their sockets.

use std::{
    io::{ErrorKind, Read},
    net::TcpStream,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    Result,
    crowd::{Face, Speaker, silent},
    fan_out::Who,
    hubbub::{Hubbub, allow_files},
    process::{CLIENTS, SERVER, on_cores},
    report::{Report, figure},
};

const ROOM: &str = "cores";
/// Texts a figure is the median of.
const TEXTS: usize = 31;
/// Between two texts: the server is quiet again.
const QUIET: Duration = Duration::from_millis(50);

/// Measures each binary, with so many readers.
pub(crate) async fn run(report: &mut Report, servers: &[String], readers: usize) -> Result {
    allow_files(readers)?;
    report.table(
        &format!("One text until the last of {readers} readers has it"),
        &["server", "cores", "ms", "times as fast as with one"],
    );
    for server in servers {
        let one = measure(server, &[SERVER], readers).await?;
        let two = measure(server, &[SERVER, CLIENTS], readers).await?;
        for (cores, time) in [(1.0, one), (2.0, two)] {
            report.row([
                server.as_str().into(),
                figure(cores, 0),
                figure(time.as_secs_f64() * 1e3, 1),
                figure(one.as_secs_f64() / time.as_secs_f64(), 2),
            ]);
        }
    }
    Ok(())
}

async fn measure(server: &str, cores: &[usize], readers: usize) -> Result<Duration> {
    let hubbub = Hubbub::spawn(on_cores(server, cores).arg("--ephemeral")).await?;
    let address = hubbub.address.parse()?;
    let speaker = Speaker::join(address, ROOM, Face::Plain).await?;
    let mut readers = silent(address, ROOM, Face::Plain, readers).await?;
    let mut times = Vec::with_capacity(TEXTS);
    for n in 0..=TEXTS {
        sleep(QUIET).await;
        let started = Instant::now();
        speaker.say(&[Who::Memory(server).says()]).await?;
        // The room goes over its readers in the order in which they came.
        let last = readers.last().ok_or("no readers")?;
        last.set_nonblocking(false)?;
        last.peek(&mut [0])?;
        let time = started.elapsed();
        sleep(QUIET).await;
        let mut heard = 0;
        for reader in &mut readers {
            heard += usize::from(take(reader)? > 0);
        }
        if heard < readers.len() {
            return Err(format!("{heard} of {} have a text", readers.len()).into());
        }
        // The first is late: all it needs is made for it.
        if n > 0 {
            times.push(time);
        }
    }
    times.sort_unstable();
    Ok(times[TEXTS / 2])
}

/// Takes what has come.
fn take(reader: &mut TcpStream) -> Result<usize> {
    reader.set_nonblocking(true)?;
    let mut buffer = [0; 16 * 1024];
    match reader.read(&mut buffer) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}
