//! Certificates by ACME (RFC 8555): ordered for the names of the operator, and proven to be theirs by the challenge
//! tls-alpn-01 (RFC 8737), for which the directory shakes hands here and is shown a certificate made for it alone.
//!
//! Start at [`Acme::order`]. The rule to keep: what comes of an order is a file as operators have it, and `tls` shows it.

mod asking;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use parking_lot::RwLock;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    crypto::CryptoProvider, pki_types::PrivatePkcs8KeyDer, server::ClientHello, sign::CertifiedKey,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::{acme::asking::Asking, config::Config, fetch::plain, identity::write_private};

/// What is spoken with whoever comes for a challenge, by ALPN: nothing, behind the handshake.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// How long an order may take, in all.
const WITHIN: Duration = Duration::from_secs(5 * 60);
/// How long a directory may think, about the challenges and about the certificate.
const THINKING: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(2 * 60));
/// What the name of a file has as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.');

/// Orders one certificate for all its names.
pub(crate) struct Acme {
    names: Vec<String>,
    email: Option<String>,
    directory: String,
    /// What is kept of this directory.
    dir: PathBuf,
    asking: Asking,
    provider: Arc<CryptoProvider>,
    /// What is shown for a challenge, by name, while it is under way.
    answers: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

/// Who we are to the directory, as it is kept.
#[derive(Deserialize, Serialize)]
struct Kept {
    email: Option<String>,
    credentials: serde_json::Value,
}

impl Acme {
    /// As the operator chose.
    ///
    /// # Errors
    ///
    /// When there is nowhere to keep anything, or nobody to trust a directory by.
    pub(crate) fn new(config: &Config, provider: Arc<CryptoProvider>) -> io::Result<Self> {
        if config.ephemeral {
            // Each start would be an order, and directories count them.
            return Err(io::Error::other("--acme keeps its certificate, and --ephemeral nothing"));
        }
        let directory = config.acme_directory.to_string();
        let name = directory.trim_start_matches("https://");
        let name = utf8_percent_encode(name, &PLAIN).to_string();
        Ok(Self {
            names: config.acme.clone(),
            email: config.acme_email.clone(),
            dir: config.data.join("acme").join(name),
            directory,
            asking: Asking::new(config.acme_ca.as_deref(), provider.clone())?,
            provider,
            answers: RwLock::default(),
        })
    }

    /// The names that the certificate has to be for.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The file that a certificate is kept in, with its key before it.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }

    fn account_file(&self) -> PathBuf {
        self.dir.join("account.json")
    }

    /// Whether somebody shakes hands for a challenge, and for nothing else.
    pub(crate) fn is_challenge(hello: &ClientHello<'_>) -> bool {
        hello.alpn().is_some_and(|protocols| protocols.eq([PROTOCOL]))
    }

    /// What is shown for it, if one is under way.
    pub(crate) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.answers.read().get(&name).cloned()
    }

    /// Orders a certificate, and writes what comes into [`Acme::file`].
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn order(&self) -> Result<(), String> {
        let ordered = timeout(WITHIN, self.ordered()).await;
        self.answers.write().clear();
        let late = |_| format!("there was no certificate within {} seconds", WITHIN.as_secs());
        match ordered.map_err(late)? {
            Ok(pem) => self.keep(&self.file(), pem.as_bytes()).map_err(|error| error.to_string()),
            Err(error) => {
                if is_of_a_stranger(&error) {
                    // The next time another account is made.
                    let _ = fs::remove_file(self.account_file());
                }
                Err(plain(&error))
            }
        }
    }

    async fn ordered(&self) -> Result<String, Error> {
        let account = self.account().await?;
        let names: Vec<_> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        self.prove(&mut order).await?;
        match order.poll_ready(&THINKING).await {
            Ok(OrderStatus::Ready) => {}
            answered => {
                let why = why(&mut order).await;
                let unknown = || Error::Str("why the directory does not believe us");
                return Err(why.or(answered.err()).unwrap_or_else(unknown));
            }
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&THINKING).await?;
        Ok(key + &chain)
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, Error> {
        let builder = Account::builder_with_http(Box::new(self.asking.clone()));
        let contact = self.email.iter().map(|email| format!("mailto:{email}")).collect::<Vec<_>>();
        let contact = contact.iter().map(String::as_str).collect::<Vec<_>>();
        let kept = fs::read(self.account_file()).ok();
        let kept = kept.and_then(|json| serde_json::from_slice::<Kept>(&json).ok());
        let (account, credentials) = match kept {
            Some(kept) => {
                let credentials = serde_json::from_value(kept.credentials.clone())?;
                let account = builder.from_credentials(credentials).await?;
                if kept.email == self.email {
                    return Ok(account);
                }
                account.update_contacts(&contact).await?;
                (account, kept.credentials)
            }
            None => {
                let new = NewAccount {
                    contact: &contact,
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let made = builder.create(&new, self.directory.clone(), None).await;
                let (account, credentials) = made?;
                (account, serde_json::to_value(&credentials)?)
            }
        };
        let json = serde_json::to_vec(&Kept { email: self.email.clone(), credentials })?;
        self.keep(&self.account_file(), &json).map_err(|error| Error::Other(error.into()))?;
        Ok(account)
    }

    /// Has the directory come for a challenge of each name that it does not believe us yet.
    async fn prove(&self, order: &mut Order) -> Result<(), Error> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or(Error::Str("a challenge tls-alpn-01"))?;
            let digest = challenge.key_authorization().digest();
            let answer = self.answer_for(&name, digest.as_ref());
            let answer = answer.map_err(|error| Error::Other(error.into()))?;
            self.answers.write().insert(name, Arc::new(answer));
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// A certificate that proves nothing but that the directory's own word has come here (RFC 8737 section 3).
    fn answer_for(&self, name: &str, digest: &[u8]) -> io::Result<CertifiedKey> {
        let mut params = CertificateParams::new([name.to_owned()]).map_err(io::Error::other)?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let own = params.self_signed(&key).map_err(io::Error::other)?;
        let secret = PrivatePkcs8KeyDer::from(key.serialize_der());
        let secret = self.provider.key_provider.load_private_key(secret.into());
        Ok(CertifiedKey::new(vec![own.into()], secret.map_err(io::Error::other)?))
    }

    fn keep(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut made = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut made, 0o700);
        made.recursive(true).create(&self.dir)?;
        write_private(path, bytes)
    }
}

/// What the directory has against the first name that it does not believe us.
async fn why(order: &mut Order) -> Option<Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        authorization.refresh().await.ok()?;
        let problem =
            authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Some(Error::Other(format!("{}: {problem}", authorization.identifier()).into()));
        }
    }
    None
}

/// Whether the directory does not know the account that is kept, or not any more.
fn is_of_a_stranger(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}
