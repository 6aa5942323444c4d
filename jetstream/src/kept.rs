//! What is kept beside messages: a stream of its own, a subject a key, of each the newest value.

use common::Offset;

use crate::{
    names,
    stream::{Failure, New, Stream},
};

/// What is read at once.
const ITEMS: usize = 1_000;
const BYTES: usize = 4 * 1024 * 1024;
/// Keys of our own, which no name becomes.
const CHECK: &str = "=check";
const GONE: &str = "=gone";

#[derive(Debug)]
pub(crate) struct Kept(pub(crate) Stream);

impl Kept {
    /// Keeps a value under a key; `None` forgets it.
    pub(crate) async fn keep(&self, key: &str, value: Option<&str>) -> Result<(), Failure> {
        // An empty one is none; before a value there is a sign that it is one.
        let value = value.map(|value| format!("={value}")).unwrap_or_default();
        self.put(names::encode(key), value).await
    }

    /// All there is, by key.
    pub(crate) async fn all(&self) -> Result<Vec<(String, String)>, Failure> {
        let (mut kept, mut after) = (Vec::new(), Offset(0));
        loop {
            let (items, more) = self.0.read(None, after, ITEMS, BYTES).await?;
            after = items.last().map_or(after, |last| last.offset);
            kept.extend(items.into_iter().filter_map(|item| {
                let value = std::str::from_utf8(&item.payload).ok()?.strip_prefix('=')?;
                Some((names::decode(&item.token)?, value.to_owned()))
            }));
            if !more {
                kept.sort();
                return Ok(kept);
            }
        }
    }

    /// The secret of this name: `new`, if there was none.
    pub(crate) async fn secret(&self, name: &str, new: &[u8]) -> Result<Vec<u8>, Failure> {
        // No name becomes such a key.
        let token = format!("=secret-{name}");
        loop {
            if let Some(item) = self.0.newest(&token).await? {
                return Ok(item.payload.to_vec());
            }
            let payload = new.to_vec().into();
            let first = New { token: token.clone(), id: None, payload };
            if self.0.replace(first, Offset(0)).await?.is_some() {
                return Ok(new.to_vec());
            }
        }
    }

    /// How far some room was let go of.
    pub(crate) async fn gone(&self) -> Result<Offset, Failure> {
        let (items, _) = self.0.read(Some(GONE), Offset(0), 1, BYTES).await?;
        let gone = items.first().and_then(|item| std::str::from_utf8(&item.payload).ok());
        Ok(Offset(gone.and_then(|gone| gone.parse().ok()).unwrap_or(0)))
    }

    /// Remembers how far some room was let go of.
    pub(crate) async fn let_go(&self, up_to: Offset) -> Result<(), Failure> {
        if self.gone().await? >= up_to {
            return Ok(());
        }
        self.put(GONE.to_owned(), up_to.0.to_string()).await
    }

    /// Keeps something that nobody reads.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        self.put(CHECK.to_owned(), String::new()).await
    }

    async fn put(&self, token: String, value: String) -> Result<(), Failure> {
        let new = New { token, id: None, payload: value.into() };
        self.0.send(vec![new]).await?.await.map(drop)
    }
}
