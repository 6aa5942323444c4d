//! TLS (RFC 8446) by files: a chain of certificates and its key, which are looked at again from time to time, for whoever
//! renews them puts new ones in their place.
//!
//! The rule to keep: what is wrong at the start stops it; what is wrong later is told, and the old ones go on.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use metrics::Gauge;
use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// How long before its end a certificate is warned of: it should have been renewed.
const WARNED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// A chain and its key, and where they are from.
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    now: RwLock<Now>,
}

/// Those that are shown now.
struct Now {
    shown: Arc<CertifiedKey>,
    /// Seconds since 1970.
    expires_at: i64,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads both files, in PEM: the server's own certificate first, then those that lead to one that clients know.
    ///
    /// # Errors
    ///
    /// What is wrong, with the file's name.
    pub(crate) fn load(cert: &Path, key: &Path) -> io::Result<Arc<Self>> {
        let provider = Arc::new(ring::default_provider());
        let now = read(cert, key, &provider)?;
        let certificate =
            Self { cert: cert.to_owned(), key: key.to_owned(), provider, now: RwLock::new(now) };
        certificate.warn_of_its_end();
        Ok(Arc::new(certificate))
    }

    /// What shakes hands with it. `protocols` are offered by ALPN (RFC 7301), the best first.
    ///
    /// # Errors
    ///
    /// When the library can't do TLS 1.2 and 1.3.
    pub(crate) fn acceptor(self: &Arc<Self>, protocols: &[&[u8]]) -> io::Result<TlsAcceptor> {
        let config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config = config.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config).into())
    }

    /// When it is no good any more, in seconds since 1970.
    fn expires_at(&self) -> i64 {
        self.now.read().expires_at
    }

    /// Looks each time after `pause` whether the files are others, and sets `expires` to when it is no good any more.
    pub(crate) async fn keep_fresh(self: Arc<Self>, pause: Duration, expires: Gauge) {
        let mut told = None;
        loop {
            expires.set(self.expires_at() as f64);
            sleep(pause).await;
            match read(&self.cert, &self.key, &self.provider) {
                Ok(now) => {
                    told = None;
                    if now.shown.cert != self.now.read().shown.cert {
                        *self.now.write() = now;
                        tracing::info!("a new certificate is shown from now on");
                        self.warn_of_its_end();
                    }
                }
                // Once for each thing that is wrong.
                Err(error) => {
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        tracing::error!(
                            error,
                            "the new certificate is no good; the old one goes on"
                        );
                        told = Some(error);
                    }
                }
            }
        }
    }

    fn warn_of_its_end(&self) {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let left = self.expires_at() - since_1970.unwrap_or_default().as_secs().cast_signed();
        if left <= 0 {
            tracing::error!("the certificate has expired: clients will refuse it");
        } else if left < WARNED.as_secs().cast_signed() {
            tracing::warn!(hours = left / 3_600, "the certificate ends soon");
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now.read().shown.clone())
    }
}

fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> io::Result<Now> {
    let of = |path: &Path, what: &dyn fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
    };
    let pem = |path: &Path| fs::read(path).map_err(|error| of(path, &error));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| of(cert, &error))?;
    let own = chain.first().ok_or_else(|| of(cert, &"there is no certificate in it"))?;
    let (_, parsed) = X509Certificate::from_der(own).map_err(|error| of(cert, &error))?;
    let expires_at = parsed.validity().not_after.timestamp();
    let secret = PrivateKeyDer::from_pem_slice(&pem(key)?).map_err(|error| of(key, &error))?;
    let secret = provider.key_provider.load_private_key(secret);
    let shown = CertifiedKey::new(chain, secret.map_err(|error| of(key, &error))?);
    shown.keys_match().map_err(|_| of(key, &"it is not the key of the certificate"))?;
    Ok(Now { shown: Arc::new(shown), expires_at })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use metrics::GaugeFn;

    use super::*;

    /// The files of a new certificate.
    fn renew(dir: &Path) -> (PathBuf, PathBuf) {
        let new = rcgen::generate_simple_self_signed(["hub.example.org".to_owned()]).unwrap();
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&cert, new.cert.pem()).unwrap();
        fs::write(&key, new.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    fn dir() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("hubbub-tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        dir
    }

    #[test]
    fn what_is_wrong_is_told_with_the_name_of_its_file() {
        let (one, other) = (dir(), dir());
        let (cert, key) = renew(&one);
        assert!(Certificate::load(&cert, &key).is_ok());
        let (_, wrong) = renew(&other);
        let why = |cert: &Path, key: &Path| Certificate::load(cert, key).unwrap_err().to_string();
        let not_its_own = format!("{}: it is not the key of the certificate", wrong.display());
        assert_eq!(why(&cert, &wrong), not_its_own);
        let missing = one.join("missing.pem");
        assert!(why(&missing, &key).starts_with(&missing.display().to_string()));
        assert!(why(&key, &key).ends_with("there is no certificate in it"));
        assert!(why(&cert, &cert).starts_with(&cert.display().to_string()));
        let half = fs::read_to_string(&cert).unwrap();
        fs::write(&cert, &half[..half.len() / 2]).unwrap();
        assert!(why(&cert, &key).starts_with(&cert.display().to_string()));
        fs::remove_dir_all(one).unwrap();
        fs::remove_dir_all(other).unwrap();
    }

    #[derive(Default)]
    struct Shown(parking_lot::Mutex<f64>);

    impl GaugeFn for Shown {
        fn increment(&self, _: f64) {}
        fn decrement(&self, _: f64) {}
        fn set(&self, value: f64) {
            *self.0.lock() = value;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_files_are_shown_and_broken_ones_are_not() {
        let dir = dir();
        let (cert, key) = renew(&dir);
        let certificate = Certificate::load(&cert, &key).unwrap();
        let shown = || certificate.now.read().shown.cert.clone();
        let pause = Duration::from_secs(30);
        let gauge = Arc::new(Shown::default());
        let looking = certificate.clone().keep_fresh(pause, Gauge::from_arc(gauge.clone()));
        tokio::spawn(looking);
        let first = shown();
        sleep(pause * 2).await;
        assert_eq!(shown(), first);
        assert_eq!(*gauge.0.lock() as i64, certificate.expires_at());

        // A new certificate, and still the old key: as when one file is there before the other.
        let old_key = fs::read(&key).unwrap();
        renew(&dir);
        let new_key = fs::read(&key).unwrap();
        fs::write(&key, old_key).unwrap();
        sleep(pause * 2).await;
        assert_eq!(shown(), first);
        fs::write(&key, new_key).unwrap();
        sleep(pause * 2).await;
        assert_ne!(shown(), first);
        fs::remove_dir_all(dir).unwrap();
    }
}
