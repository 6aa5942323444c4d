//! Where a test is: at one hub, or at two on one log, to which whoever connects comes in turn, as a balancer has it that knows
//! nobody again.

use std::net::SocketAddr;

use hub::broker::Retention;
use server::Config;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::{TestServer, nats::Nats};

#[derive(Clone, Copy)]
pub enum Place<'a> {
    OneHub,
    /// On a log of their own on this.
    TwoHubs(&'a Nats),
}

impl Place<'_> {
    pub async fn start(self) -> TestServer {
        self.with(|_| ()).await
    }

    pub async fn with(self, change: impl Fn(&mut Config)) -> TestServer {
        let Self::TwoHubs(nats) = self else { return TestServer::with(change).await };
        let name = uuid::Uuid::new_v4().simple().to_string();
        let hub = || {
            TestServer::with(|config| {
                config.ephemeral = false;
                config.nats.broker = Some(nats.url().parse().unwrap());
                config.nats.broker_name.clone_from(&name);
                config.retention = Some(Retention::in_memory());
                change(config);
            })
        };
        let (one, other) = (hub().await, hub().await);
        let address = in_turn([one.address, other.address]).await;
        let toy = in_turn([one.toy, other.toy]).await;
        TestServer { address, toy, beside: Some(Box::new(other)), ..one }
    }
}

/// Where each connection comes to the next of these, or to the other, if nobody listens there.
pub async fn in_turn(to: [SocketAddr; 2]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for turn in (0..2).cycle() {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut far = match TcpStream::connect(to[turn]).await {
                    Ok(far) => far,
                    Err(_) => TcpStream::connect(to[1 - turn]).await?,
                };
                near.set_nodelay(true)?;
                far.set_nodelay(true)?;
                copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    address
}
