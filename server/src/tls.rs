//! TLS (RFC 8446) by files: a chain of certificates and its key, which are looked at again from time to time, for whoever
//! renews them puts new ones in their place; that may be `acme`, which is asked to when it is time.
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
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::{
    acme::{self, Acme},
    config::{Config, Timing},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How long before its end a certificate is warned of, each day: it should have been renewed.
const WARNED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The longest between two looks at whether it is time to order one: the clock may be set, and the machine may sleep.
const HOUR: Duration = Duration::from_secs(3_600);

/// A chain and its key, and where they are from.
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    /// Who puts new ones there, if it is not for the operator.
    acme: Option<Acme>,
    provider: Arc<CryptoProvider>,
    /// None, until `acme` has the first.
    now: RwLock<Option<Now>>,
}

/// Those that are shown now.
struct Now {
    shown: Arc<CertifiedKey>,
    /// The names they are for.
    names: Vec<String>,
    /// Seconds since 1970, as all times here.
    begins_at: i64,
    expires_at: i64,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Certificate {
    /// As the operator chose; none, if TLS is not to be spoken.
    ///
    /// # Errors
    ///
    /// What is wrong, with the file's name.
    pub(crate) fn open(config: &Config) -> io::Result<Option<Arc<Self>>> {
        match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Self::load(cert, key).map(Some),
            _ if config.acme.is_empty() => Ok(None),
            _ => Self::ordered(config).map(Some),
        }
    }

    /// Reads both files, in PEM: the server's own certificate first, then those that lead to one that clients know.
    fn load(cert: &Path, key: &Path) -> io::Result<Arc<Self>> {
        let provider = Arc::new(ring::default_provider());
        let now = read(cert, key, &provider)?;
        now.warn_of_its_end();
        let (cert, key) = (cert.to_owned(), key.to_owned());
        Ok(Arc::new(Self { cert, key, acme: None, provider, now: RwLock::new(Some(now)) }))
    }

    /// One that is ordered when it is time, and kept: it need not be there yet.
    fn ordered(config: &Config) -> io::Result<Arc<Self>> {
        let provider = Arc::new(ring::default_provider());
        let acme = Acme::new(config, provider.clone())?;
        let file = acme.file();
        let now = match file.exists().then(|| read(&file, &file, &provider)).transpose() {
            Ok(now) => now,
            Err(error) => {
                tracing::error!(%error, "the kept certificate is no good");
                None
            }
        };
        let (cert, key) = (file.clone(), file);
        Ok(Arc::new(Self { cert, key, acme: Some(acme), provider, now: RwLock::new(now) }))
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
        if self.acme.is_some() {
            config.alpn_protocols.push(acme::PROTOCOL.to_vec());
        }
        Ok(Arc::new(config).into())
    }

    /// When it is no good any more; 0, if there is none.
    fn expires_at(&self) -> i64 {
        self.now.read().as_ref().map(|now| now.expires_at).unwrap_or_default()
    }

    /// Has a new one shown when there is one, and sets `expires` to when it is no good any more. Files are looked at each
    /// time after [`Timing::certificate`]; an order that failed is tried again after [`Timing::order`] at first.
    pub(crate) async fn keep_fresh(self: Arc<Self>, timing: Timing, expires: Gauge) {
        match &self.acme {
            None => self.keep_looking(timing.certificate, expires).await,
            Some(acme) => self.keep_ordering(acme, timing.order, expires).await,
        }
    }

    async fn keep_looking(&self, pause: Duration, expires: Gauge) {
        let (mut told, mut warned) = (None, Instant::now());
        loop {
            expires.set(self.expires_at() as f64);
            sleep(pause).await;
            if warned.elapsed() >= DAY {
                warned = Instant::now();
                self.now.read().iter().for_each(Now::warn_of_its_end);
            }
            match self.look() {
                Ok(()) => told = None,
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

    async fn keep_ordering(&self, acme: &Acme, first: Duration, expires: Gauge) {
        let mut pause = first;
        loop {
            expires.set(self.expires_at() as f64);
            if let Some(left) = self.good_for(acme.names()) {
                pause = first;
                sleep(left.min(HOUR)).await;
                continue;
            }
            tracing::info!(names = acme.names().join(","), "a certificate is ordered");
            if let Err(error) = self.order(acme).await {
                let (seconds, left) = (pause.as_secs(), self.expires_at() - now());
                match left > 0 {
                    true => tracing::error!(
                        error,
                        seconds,
                        hours = left / 3_600,
                        "the old certificate goes on; trying again"
                    ),
                    false => {
                        tracing::error!(error, seconds, "there is no certificate; trying again");
                    }
                }
                sleep(pause).await;
                pause = (pause * 4).min(HOUR);
            }
        }
    }

    async fn order(&self, acme: &Acme) -> Result<(), String> {
        acme.order().await?;
        self.look().map_err(|error| error.to_string())?;
        let odd = || "what came is not for these names, or not for now".to_owned();
        self.good_for(acme.names()).map(|_| ()).ok_or_else(odd)
    }

    /// Reads the files again, and shows what is in them if that is new.
    fn look(&self) -> io::Result<()> {
        let now = read(&self.cert, &self.key, &self.provider)?;
        let mut shown = self.now.write();
        if shown.as_ref().is_none_or(|old| old.shown.cert != now.shown.cert) {
            tracing::info!("a new certificate is shown from now on");
            if self.acme.is_none() {
                now.warn_of_its_end();
            }
            *shown = Some(now);
        }
        Ok(())
    }

    /// For how long it need not be renewed; `None`, if it is time, or it is not for all these names. A third of its life
    /// is left then, for directories to be away.
    fn good_for(&self, names: &[String]) -> Option<Duration> {
        let shown = self.now.read();
        let shown =
            shown.as_ref().filter(|now| names.iter().all(|name| now.names.contains(name)))?;
        let renewed_at = shown.expires_at - (shown.expires_at - shown.begins_at) / 3;
        let left = u64::try_from(renewed_at - now()).ok().filter(|left| *left > 0);
        left.map(Duration::from_secs)
    }
}

impl Now {
    fn warn_of_its_end(&self) {
        let left = self.expires_at - now();
        if left <= 0 {
            tracing::error!("the certificate has expired: clients will refuse it");
        } else if left < WARNED.as_secs().cast_signed() {
            tracing::warn!(hours = left / 3_600, "the certificate ends soon");
        }
    }
}

fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.unwrap_or_default().as_secs().cast_signed()
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match &self.acme {
            Some(acme) if Acme::is_challenge(&hello) => acme.answer(&hello),
            _ => self.now.read().as_ref().map(|now| now.shown.clone()),
        }
    }
}

/// Whether these files are good to be shown now: a certificate that has not expired, and its key.
///
/// # Errors
///
/// What is wrong, behind the name of its file.
pub(crate) fn try_out(cert: &Path, key: &Path) -> io::Result<()> {
    match read(cert, key, &ring::default_provider())?.expires_at > now() {
        true => Ok(()),
        false => Err(of(cert, &"the certificate has expired")),
    }
}

fn of(path: &Path, what: &dyn fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()))
}

fn read(cert: &Path, key: &Path, provider: &CryptoProvider) -> io::Result<Now> {
    let pem = |path: &Path| fs::read(path).map_err(|error| of(path, &error));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| of(cert, &error))?;
    let own = chain.first().ok_or_else(|| of(cert, &"there is no certificate in it"))?;
    let (_, parsed) = X509Certificate::from_der(own).map_err(|error| of(cert, &error))?;
    let (begins_at, expires_at) =
        (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let names = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    let names = names.collect();
    let secret = PrivateKeyDer::from_pem_slice(&pem(key)?).map_err(|error| of(key, &error))?;
    let secret = provider.key_provider.load_private_key(secret);
    let shown = CertifiedKey::new(chain, secret.map_err(|error| of(key, &error))?);
    shown.keys_match().map_err(|_| of(key, &"it is not the key of the certificate"))?;
    Ok(Now { shown: Arc::new(shown), names, begins_at, expires_at })
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

    #[test]
    fn it_is_time_for_another_when_a_third_is_left_or_a_name_is_new() {
        const DAY: i64 = 24 * 3_600;
        let dir = dir();
        let (cert, key) = renew(&dir);
        let certificate = Certificate::load(&cert, &key).unwrap();
        let good_for = |name: &str, begins_at: i64, expires_at: i64| {
            let new = Now {
                begins_at: now() + begins_at,
                expires_at: now() + expires_at,
                ..read(&cert, &key, &certificate.provider).unwrap()
            };
            *certificate.now.write() = Some(new);
            certificate.good_for(&[name.to_owned()])
        };
        let left = good_for("hub.example.org", -59 * DAY, 31 * DAY).unwrap();
        assert!(left > Duration::ZERO && left <= Duration::from_secs(24 * 3_600), "{left:?}");
        assert_eq!(good_for("hub.example.org", -61 * DAY, 29 * DAY), None);
        assert_eq!(good_for("hub.example.org", -90 * DAY, -DAY), None);
        assert_eq!(good_for("other.example.org", 0, 90 * DAY), None);
        fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn renewed_files_are_shown_and_broken_ones_are_not() {
        let dir = dir();
        let (cert, key) = renew(&dir);
        let certificate = Certificate::load(&cert, &key).unwrap();
        let shown = || certificate.now.read().as_ref().unwrap().shown.cert.clone();
        let pause = Duration::from_secs(30);
        let gauge = Arc::new(Shown::default());
        let timing = Timing { certificate: pause, ..Timing::default() };
        let looking = certificate.clone().keep_fresh(timing, Gauge::from_arc(gauge.clone()));
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
