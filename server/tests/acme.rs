//! Certificates by ACME, from a real directory: Pebble, which refuses some nonces as it likes, and comes to the real binary
//! for its challenges.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::{
    env, fs,
    net::TcpListener as Port,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use support::process::Hubbub;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, pem::PemObject},
    },
};
use x509_parser::prelude::{FromDer, X509Certificate};

const NAMES: [&str; 2] = ["hub.example.org", "other.example.org"];

/// An order that fails is tried again after ten seconds, and if it fails again after forty.
const PATIENCE: Duration = Duration::from_secs(90);

struct Pebble {
    _process: Child,
    management: String,
    own: CertificateDer<'static>,
}

/// Where it is to be, and the certificate that it shows.
struct Place {
    dir: PathBuf,
    ports: [u16; 2],
    own: CertificateDer<'static>,
}

impl Place {
    /// None, if there is no Pebble.
    async fn new() -> Option<Self> {
        let found = Command::new(program()).arg("-h").stderr(Stdio::null()).status().await;
        if found.is_err() {
            assert!(env::var_os("CI").is_none(), "in CI no test is left out: install pebble");
            println!("skipped: install pebble (on Debian: apt-get install pebble)");
            return None;
        }
        let dir = env::temp_dir().join(format!("hubbub-acme-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(dir.join("ca.pem"), own.cert.pem()).unwrap();
        fs::write(dir.join("ca.key"), own.signing_key.serialize_pem()).unwrap();
        // Both are held until both are known, so that they are not one.
        let ports = [(); 2].map(|()| Port::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|port| port.local_addr().unwrap().port());
        Some(Self { dir, ports, own: own.cert.into() })
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    async fn hub(&self, names: &[&str]) -> Hubbub {
        let directory = format!("https://localhost:{}/dir", self.ports[0]);
        let names = names.join(",");
        let ca = self.dir.join("ca.pem");
        let flags = [
            "--acme",
            &names,
            "--acme-email",
            "ada@example.org",
            "--acme-directory",
            &directory,
            "--acme-ca",
            ca.to_str().unwrap(),
        ];
        Hubbub::start_logging(self.dir.join("data"), &self.log(), &flags).await
    }

    /// Its challenges go to this port.
    async fn pebble(&self, challenges: u16) -> Pebble {
        let [directory, management] = self.ports.map(|port| format!("127.0.0.1:{port}"));
        let config = serde_json::json!({ "pebble": {
            "listenAddress": directory,
            "managementListenAddress": management,
            "certificate": self.dir.join("ca.pem"),
            "privateKey": self.dir.join("ca.key"),
            "httpPort": 1,
            "tlsPort": challenges,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        let file = self.dir.join("pebble.json");
        fs::write(&file, config.to_string()).unwrap();
        let names = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut pebble = Command::new(program());
        pebble.args(["-dnsserver", &names.local_addr().unwrap().to_string(), "-config"]).arg(file);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").stdout(Stdio::null()).stderr(Stdio::null());
        let process = pebble.kill_on_drop(true).spawn().unwrap();
        tokio::spawn(lead_here(names));
        until("Pebble", async || TcpStream::connect(&management).await.ok()).await;
        Pebble { _process: process, management, own: self.own.clone() }
    }

    async fn said(&self, what: &str) -> String {
        let log = self.log();
        until(what, async || fs::read_to_string(&log).ok().filter(|log| log.contains(what))).await
    }
}

impl Pebble {
    /// What its certificates lead to.
    async fn root(&self) -> CertificateDer<'static> {
        let mut stream = shake(&self.management, "localhost", &self.own, &[]).await.unwrap();
        let answer = ask(&mut stream, "/roots/0", "localhost").await;
        CertificateDer::from_pem_slice(answer.as_bytes()).unwrap()
    }
}

/// Tells of each name that it is this machine (RFC 1035 section 4).
async fn lead_here(socket: UdpSocket) {
    const A: [u8; 2] = [0, 1];
    let mut query = [0; 512];
    while let Ok((length, who)) = socket.recv_from(&mut query).await {
        // Behind a header of 12 bytes comes the name, up to an empty part, then the type and the class.
        let Some(name) = query[12..length].iter().position(|byte| *byte == 0) else { continue };
        let question = &query[12..12 + name + 5];
        let is_a = question[name + 1..][..2] == A;
        let mut answer = [&query[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]].concat();
        answer.extend(question);
        if is_a {
            answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _ = socket.send_to(&answer, who).await;
    }
}

fn program() -> String {
    // An empty one is no program at all.
    env::var("HUBBUB_PEBBLE").unwrap_or_else(|_| "pebble".to_owned())
}

/// What comes of it once it comes of it.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(seen) => return seen,
                None => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("there was no {what}"))
}

async fn shake(
    address: &str,
    name: &'static str,
    root: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name.try_into().unwrap(), stream).await
}

async fn ask(stream: &mut TlsStream<TcpStream>, path: &str, host: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// All files below, with their rights.
fn modes(dir: &Path) -> Vec<u32> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let each = entries.map(|entry| match entry.file_type().unwrap().is_dir() {
        true => modes(&entry.path()),
        false => vec![entry.metadata().unwrap().permissions().mode() & 0o777],
    });
    each.flatten().collect()
}

#[tokio::test]
async fn a_certificate_is_ordered_as_soon_as_there_is_a_directory_and_kept() {
    let Some(place) = Place::new().await else { return };
    let mut hub = place.hub(&NAMES).await;
    let log = place.said("there is no certificate; trying again").await;
    assert!(log.contains("a certificate is ordered"), "{log}");
    assert!(log.contains("Connection refused"), "{log}");
    assert!(shake(&hub.address, NAMES[0], &place.own, &[]).await.is_err());

    let (_, port) = hub.address.rsplit_once(':').unwrap();
    let pebble = place.pebble(port.parse().unwrap()).await;
    let root = pebble.root().await;
    let shakes = async || shake(&hub.address, NAMES[0], &root, &[b"http/1.1"]).await.ok();
    let first = shown(&until("certificate", shakes).await);
    for name in NAMES {
        let mut stream = shake(&hub.address, name, &root, &[]).await.unwrap();
        let answer = ask(&mut stream, "/metrics", name).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let ends = X509Certificate::from_der(&first).unwrap().1.validity().not_after.timestamp();
        let told = format!("\nhubbub_certificate_expires_timestamp_seconds {ends}\n");
        assert!(answer.contains(&told), "{told}: {answer}");
    }
    // Without an order there is nothing to show for a challenge.
    assert!(shake(&hub.address, NAMES[0], &root, &[b"acme-tls/1"]).await.is_err());
    assert_eq!(modes(&place.dir.join("data/acme")), [0o600, 0o600]);

    // The directory is gone, and need not be asked.
    hub.stop().await;
    drop(pebble);
    let mut hub = place.hub(&NAMES).await;
    let again = shake(&hub.address, NAMES[1], &root, &[]).await.unwrap();
    assert_eq!(shown(&again), first);
    hub.stop().await;
    let log = fs::read_to_string(place.log()).unwrap();
    assert!(!log.contains("a certificate is ordered"), "{log}");
    fs::remove_dir_all(place.dir).unwrap();
}

#[tokio::test]
async fn what_a_directory_does_not_believe_is_told_and_the_server_goes_on() {
    let Some(place) = Place::new().await else { return };
    // Nobody listens there.
    let _pebble = place.pebble(1).await;
    let mut hub = place.hub(&NAMES[..1]).await;
    let log = place.said("there is no certificate; trying again").await;
    assert!(log.contains("hub.example.org: API error"), "{log}");
    assert!(log.contains("for the tls-alpn-01 challenge"), "{log}");
    assert!(TcpStream::connect(&hub.address).await.is_ok());
    hub.stop().await;
    fs::remove_dir_all(place.dir).unwrap();
}

#[tokio::test]
async fn where_no_certificate_could_come_or_be_kept_it_does_not_start() {
    let dir = env::temp_dir().join(format!("hubbub-acme-{}", uuid::Uuid::new_v4()));
    let socket = format!("unix:{}", dir.with_extension("sock").display());
    let missing = dir.join("missing.pem").display().to_string();
    for (flags, why) in [
        (&["--listen", "127.0.0.1:0", "--ephemeral"][..], "--ephemeral nothing"),
        (&["--listen", &socket], "a Unix socket has none"),
        (&["--listen", "127.0.0.1:0", "--acme-ca", &missing], &missing),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
        command.args(["--acme", NAMES[0], "--data"]).arg(&dir).args(flags).kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(why), "{error}");
    }
}
