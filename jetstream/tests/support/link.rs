//! A link between two processes, as a proxy of the tests' own, which may be as bad as those in the wild. The tests of other
//! crates have this file as well.
//!
//! What of a network that loses packets can be seen at this level: to TCP a packet that is lost in one direction is bytes of
//! that direction that come late, or never, if the connection ends before they are sent again. So a link *holds* bytes, and
//! may be *reset* while it does.
#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used
)]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// What is wrong with a link; nothing, unless it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Whoever connects is refused; it comes with a reset of those who are.
    pub cut: bool,
    /// What the one who connects says is held back.
    pub mute: bool,
    /// What the one who is connected to says is held back.
    pub deaf: bool,
}

/// The link to one port.
pub struct Link {
    /// Where it is connected to in place of that.
    pub port: u16,
    trouble: watch::Sender<Trouble>,
    resets: watch::Sender<()>,
    carried: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Link {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (trouble, resets) = (watch::Sender::default(), watch::Sender::new(()));
        let carried: Arc<AtomicUsize> = Arc::default();
        let accepting = accept(listener, port, trouble.clone(), resets.clone(), carried.clone());
        let accepting = tokio::spawn(accepting).abort_handle();
        Self { port: own, trouble, resets, carried, accepting }
    }

    /// From now on that is wrong with it.
    pub fn suffer(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
        if trouble.cut {
            self.reset();
        }
    }

    /// Ends all connections there are; what was held back never arrives.
    pub fn reset(&self) {
        self.resets.send_replace(());
    }

    /// How many connections it carries.
    pub fn carries(&self) -> usize {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.reset();
    }
}

async fn accept(
    listener: TcpListener,
    to: u16,
    trouble: watch::Sender<Trouble>,
    resets: watch::Sender<()>,
    carried: Arc<AtomicUsize>,
) {
    loop {
        let Ok((mut near, _)) = listener.accept().await else { continue };
        if trouble.borrow().cut {
            // To keep the port it is taken and reset, which is as good as refused.
            let _ = near.set_zero_linger();
            continue;
        }
        let (trouble, mut resets, carried) =
            (trouble.subscribe(), resets.subscribe(), carried.clone());
        tokio::spawn(async move {
            carried.fetch_add(1, Ordering::Relaxed);
            let mut far = None;
            let ended = tokio::select! {
                _ = carry(&mut near, &mut far, to, trouble) => true,
                _ = resets.changed() => false,
            };
            if !ended {
                for stream in [Some(near), far].into_iter().flatten() {
                    let _ = stream.set_zero_linger();
                }
            }
            carried.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Carries what both say until both have ended.
async fn carry(
    near: &mut TcpStream,
    far: &mut Option<TcpStream>,
    to: u16,
    trouble: watch::Receiver<Trouble>,
) -> io::Result<()> {
    let far = far.insert(TcpStream::connect(("127.0.0.1", to)).await?);
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_says, to_near), (far_says, to_far)) = (near.split(), far.split());
    let up = pass(near_says, to_far, trouble.clone(), |trouble| trouble.mute);
    let down = pass(far_says, to_near, trouble, |trouble| trouble.deaf);
    tokio::try_join!(up, down).map(drop)
}

/// Carries what one says to the other, unless it is held back.
async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut trouble: watch::Receiver<Trouble>,
    is_held: fn(&Trouble) -> bool,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if trouble.wait_for(|trouble| !is_held(trouble)).await.is_err() {
            // The link is gone.
            return Ok(());
        }
        match read {
            0 => return to.shutdown().await,
            read => to.write_all(&bytes[..read]).await?,
        }
    }
}
