//! A server that speaks TLS, and who trusts its certificate.

use std::{fs, sync::Arc};

use server::Config;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer},
};

use super::TestServer;

const NAME: &str = "hub.example.org";

pub struct Secure {
    pub server: TestServer,
    trusting: ClientConfig,
}

impl Secure {
    pub async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let own = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let dir = std::env::temp_dir().join(format!("hubbub-secure-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert, own.cert.pem()).unwrap();
        fs::write(&key, own.signing_key.serialize_pem()).unwrap();
        let server = TestServer::with(|config| {
            (config.tls_cert, config.tls_key) = (Some(cert), Some(key));
            config.publish_rate = 0;
            change(config);
        })
        .await;
        fs::remove_dir_all(dir).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(own.cert.der().to_vec())).unwrap();
        let trusting = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { server, trusting }
    }

    /// Connects, offering these by ALPN.
    pub async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut config = self.trusting.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(NAME.try_into().unwrap(), stream).await.unwrap()
    }
}
