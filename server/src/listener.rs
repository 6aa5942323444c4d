//! Where connections come in: TCP or a Unix socket, opened here, or by the system before and handed on; with TLS or
//! without.

use std::{
    fmt, fs, io,
    net::{SocketAddr, ToSocketAddrs},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use crate::{config::Config, tls::Certificate};

/// How many connections may wait to be accepted, as far as the system has it (listen(2), `net.core.somaxconn`): whoever finds no
/// place tries again a second later only. Many come at once when they come back.
const WAITING: u32 = 4_096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port; port 0 is a free one.
    Tcp(SocketAddr),
    /// A file that is made for it.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    /// An address with a port, or a name that has one; of several the first of IPv4. Behind `unix:` a path.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("`unix:` has no path behind it".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let text = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let shape = || {
            format!(
                "`{text}` is not an address like 127.0.0.1:3000, localhost:3000, :3000 or unix:/run/hubbub.sock"
            )
        };
        let addresses: Vec<_> = text.to_socket_addrs().map_err(|_| shape())?.collect();
        let ipv4 = addresses.iter().find(|address| address.is_ipv4());
        ipv4.or(addresses.first()).copied().map(Self::Tcp).ok_or_else(shape)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection as it came in.
pub(crate) type Stream = Either<TcpStream, UnixStream>;

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    pub(crate) certificate: Option<Arc<Certificate>>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Unless somebody else opened it.
        _file: Option<OwnFile>,
    },
}

/// The file of a socket that was opened here, which goes with it.
#[derive(Debug)]
struct OwnFile(PathBuf);

impl Drop for OwnFile {
    fn drop(&mut self) {
        // What is left is taken away by the next one.
        let _ = fs::remove_file(&self.0);
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Kind::Tcp(listener).into()
    }
}

impl From<Kind> for Listener {
    fn from(kind: Kind) -> Self {
        Self { kind, certificate: None }
    }
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections of whoever had the port before may still be closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

impl Listener {
    /// As the operator chose, or the system has handed on.
    ///
    /// # Errors
    ///
    /// When the address can't be had, or the certificate is no good.
    pub async fn open(config: &Config) -> io::Result<Self> {
        let certificate = Certificate::open(config)?;
        let listener = match Self::handed_on()? {
            Some(listener) => listener,
            None => {
                let listen = &config.listen;
                let why = |error| io::Error::other(format!("can't listen on {listen}: {error}"));
                Self::bind(listen).await.map_err(why)?
            }
        };
        if matches!(listener.kind, Kind::Unix { .. }) && !config.acme.is_empty() {
            return Err(io::Error::other("--acme is for a port, and a Unix socket has none"));
        }
        Ok(Self { certificate, ..listener })
    }

    /// Opens it. A Unix socket's file that was left behind, and nobody listens on, is replaced.
    ///
    /// # Errors
    ///
    /// When the address is taken, or is not ours to take.
    async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(listen_at(*address)?.into()),
            Listen::Unix(path) => {
                if is_left(path).await {
                    fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                Ok(Kind::Unix { listener, _file: Some(OwnFile(path.clone())) }.into())
            }
        }
    }

    /// The one that the system has opened for this process, as a socket unit of systemd does (`sd_listen_fds`): it stays
    /// open over restarts, and whoever comes meanwhile waits in it.
    ///
    /// # Errors
    ///
    /// When it is neither of TCP nor a Unix socket, or there are several.
    fn handed_on() -> io::Result<Option<Self>> {
        let mut handed = ListenFd::from_env();
        match handed.len() {
            0 => return Ok(None),
            1 => {}
            several => {
                let message = format!("{several} sockets were handed on, and one is served");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        // Taking one that is of another kind leaves it there.
        if let Ok(Some(listener)) = handed.take_tcp_listener(0) {
            listener.set_nonblocking(true)?;
            return Ok(Some(TcpListener::from_std(listener)?.into()));
        }
        let listener = handed.take_unix_listener(0)?;
        let Some(listener) = listener else { return Ok(None) };
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        Ok(Some(Kind::Unix { listener, _file: None }.into()))
    }

    /// Its address; the file of a Unix socket.
    ///
    /// # Errors
    ///
    /// When the system does not know it.
    pub fn address(&self) -> io::Result<Listen> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Kind::Unix { listener, .. } => {
                let address = listener.local_addr()?;
                Ok(Listen::Unix(address.as_pathname().map(Path::to_owned).unwrap_or_default()))
            }
        }
    }

    /// What browsers write for it: its scheme and its address; the file of a Unix socket.
    ///
    /// # Errors
    ///
    /// As [`Listener::address`].
    pub fn url(&self) -> io::Result<String> {
        Ok(match self.address()? {
            Listen::Tcp(address) if self.certificate.is_some() => format!("https://{address}"),
            Listen::Tcp(address) => format!("http://{address}"),
            unix => unix.to_string(),
        })
    }

    /// The next connection, and where it comes from: a Unix socket knows no address.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::Left(stream), Some(peer)))
            }
            Kind::Unix { listener, .. } => Ok((Stream::Right(listener.accept().await?.0), None)),
        }
    }
}

/// Whether there is a socket's file that nobody listens on.
async fn is_left(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let is_refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).await.is_err_and(is_refused)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_the_ways_that_people_write_them() {
        let read = |text: &str| text.parse::<Listen>().map(|listen| listen.to_string());
        assert_eq!(read("127.0.0.1:80").unwrap(), "127.0.0.1:80");
        assert_eq!(read("[::1]:80").unwrap(), "[::1]:80");
        assert_eq!(read(":3000").unwrap(), "0.0.0.0:3000");
        assert_eq!(read("localhost:3000").unwrap(), "127.0.0.1:3000");
        assert_eq!(read("unix:/run/hubbub.sock").unwrap(), "unix:/run/hubbub.sock");
        for wrong in ["", "3000", "localhost", "unix:", "127.0.0.1:99999"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_socket_left_behind_is_replaced_and_nothing_else_is() {
        let dir = std::env::temp_dir().join(format!("hubbub-socket-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        let listen = Listen::Unix(dir.join("s"));
        let Listen::Unix(path) = &listen else { unreachable!() };

        let first = Listener::bind(&listen).await.unwrap();
        let taken = Listener::bind(&listen).await.unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists(), "it goes with its listener");

        // As a process that was killed leaves it.
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        drop(Listener::bind(&listen).await.unwrap());

        fs::write(path, "of somebody").unwrap();
        assert!(Listener::bind(&listen).await.is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "of somebody");
        fs::remove_dir_all(dir).unwrap();
    }
}
