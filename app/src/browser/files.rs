//! The browser's own files: what is read to be sent, and where what comes is written.
//!
//! Where the browser lets a page write to disk (`showSaveFilePicker`, in a secure context), a file of any size passes
//! through a few MiB of memory; elsewhere it becomes a `Blob`, and is saved when all of it is there.

use std::collections::{HashMap, HashSet};

use client::{FileEffect, FileEvent};
use common::MessageId;
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use leptos::{
    prelude::{document, window},
    task::spawn_local,
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, BlobPropertyBag, File, HtmlAnchorElement, Url};

/// The largest file that is taken where it can't be written to disk as it comes: 1 GiB.
pub(crate) const BLOB_BYTES: u64 = 1024 * 1024 * 1024;

/// Where what comes goes.
#[derive(Debug)]
pub(crate) enum Sink {
    /// A `FileSystemWritableFileStream`: what is written is there when it is closed.
    Disk(JsValue),
    /// What has come, in parts.
    Parts(Array),
    /// The address of all of it.
    Whole(String),
}

impl Drop for Sink {
    fn drop(&mut self) {
        match self {
            // One that is closed already refuses, and that is well.
            Self::Disk(stream) => {
                if let Ok(aborted) = start(stream, "abort", &[]) {
                    spawn_local(async move { drop(JsFuture::from(aborted).await) });
                }
            }
            Self::Parts(_) => {}
            Self::Whole(url) => drop(Url::revoke_object_url(url)),
        }
    }
}

/// Whether what comes can be written to disk as it comes.
pub(crate) fn writes_to_disk() -> bool {
    Reflect::has(&window(), &"showSaveFilePicker".into()).unwrap_or_default()
}

impl Sink {
    /// Asks the person where a file is to go, if this browser can write there; `None` if they have thought better of it.
    ///
    /// # Errors
    ///
    /// What the browser says, where there is no place for it.
    pub(super) async fn ask(name: &str, size: u64) -> Result<Option<Self>, JsValue> {
        if !writes_to_disk() {
            return Ok(Some(Self::Parts(Array::new())));
        }
        let error = match ask_where(name).await {
            Ok(stream) => return Ok(Some(Self::Disk(stream))),
            Err(error) => error,
        };
        let name = Reflect::get(&error, &"name".into()).ok().and_then(|name| name.as_string());
        match name.as_deref() {
            Some("AbortError") => Ok(None),
            // The browser does not let this page ask (File System Access, section 3.3).
            Some("SecurityError") if size <= BLOB_BYTES => Ok(Some(Self::Parts(Array::new()))),
            _ => Err(error),
        }
    }
}

async fn ask_where(name: &str) -> Result<JsValue, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"suggestedName".into(), &name.into())?;
    let asked = start(&window(), "showSaveFilePicker", &[options.into()])?;
    let handle = JsFuture::from(asked).await?;
    JsFuture::from(start(&handle, "createWritable", &[])?).await
}

/// Calls a method that takes time. `web-sys` has these only among what may still change.
fn start(object: &JsValue, method: &str, arguments: &[JsValue]) -> Result<Promise, JsValue> {
    let function: Function = Reflect::get(object, &method.into())?.dyn_into()?;
    let result = function.apply(object, &arguments.iter().collect())?;
    Ok(Promise::resolve(&result))
}

/// The files of one page.
#[derive(Debug, Default)]
pub(super) struct Files {
    sources: HashMap<MessageId, File>,
    sinks: HashMap<MessageId, Sink>,
    /// For these a person is asked where they are to go.
    asking: HashSet<MessageId>,
}

impl Files {
    /// This file is to be sent.
    pub(super) fn send(&mut self, id: MessageId, file: File) {
        self.sources.insert(id, file);
    }

    /// A person is to be asked where this file is to go; false if they are, or have said it.
    pub(super) fn begin_asking(&mut self, id: &MessageId) -> bool {
        !self.sinks.contains_key(id) && self.asking.insert(id.clone())
    }

    pub(super) fn end_asking(&mut self, id: &MessageId) {
        self.asking.remove(id);
    }

    /// What comes of this file goes there.
    pub(super) fn take(&mut self, id: MessageId, sink: Sink) {
        self.sinks.insert(id, sink);
    }

    /// Does one thing with a file; `tell` hears what comes of it.
    pub(super) fn carry_out(
        &mut self,
        id: &MessageId,
        what: FileEffect,
        name: &str,
        tell: impl Fn(FileEvent) + 'static,
    ) {
        match what {
            FileEffect::Read { at, len } => {
                let file = self.sources.get(id).cloned();
                spawn_local(async move {
                    let bytes = match file {
                        Some(file) => read(&file, at, len).await.ok(),
                        None => None,
                    };
                    tell(FileEvent::Read { at, bytes });
                });
            }
            FileEffect::Write { bytes } => match self.sinks.get(id) {
                Some(Sink::Disk(stream)) => {
                    // A stream writes in the order in which it was told.
                    let bytes = Uint8Array::from(bytes.as_slice());
                    let written = start(stream, "write", &[bytes.into()]);
                    spawn_local(async move {
                        tell(FileEvent::Wrote(done(written).await));
                    });
                }
                Some(Sink::Parts(parts)) => {
                    let bytes = Array::of1(&Uint8Array::from(bytes.as_slice()));
                    let part = Blob::new_with_u8_array_sequence(&bytes);
                    tell(FileEvent::Wrote(part.is_ok_and(|part| parts.push(&part) > 0)));
                }
                Some(Sink::Whole(_)) | None => tell(FileEvent::Wrote(false)),
            },
            FileEffect::Finish => match self.sinks.get(id) {
                Some(Sink::Disk(stream)) => {
                    let closed = start(stream, "close", &[]);
                    spawn_local(async move {
                        tell(FileEvent::Finished(done(closed).await));
                    });
                }
                Some(Sink::Parts(parts)) => {
                    let saved = save(parts, name);
                    tell(FileEvent::Finished(saved.is_ok()));
                    if let Ok(url) = saved {
                        self.sinks.insert(id.clone(), Sink::Whole(url));
                    }
                }
                Some(Sink::Whole(_)) | None => tell(FileEvent::Finished(false)),
            },
            FileEffect::Drop => {
                self.sources.remove(id);
                self.sinks.remove(id);
            }
        }
    }
}

async fn done(promise: Result<Promise, JsValue>) -> bool {
    match promise {
        Ok(promise) => JsFuture::from(promise).await.is_ok(),
        Err(_) => false,
    }
}

async fn read(file: &File, at: u64, len: u64) -> Result<Vec<u8>, JsValue> {
    let part = file.slice_with_f64_and_f64(at as f64, (at + len) as f64)?;
    let bytes = JsFuture::from(part.array_buffer()).await?;
    Ok(Uint8Array::new(&bytes).to_vec())
}

/// Hands a text to the person as a download.
pub(crate) fn download(text: &str, name: &str) {
    if let Ok(url) = save(&Array::of1(&text.into()), name) {
        // The download has begun: it has what it needs.
        let _ = Url::revoke_object_url(&url);
    }
}

/// Hands all parts to the person as a download; returns where they are.
fn save(parts: &Array, name: &str) -> Result<String, JsValue> {
    let options = BlobPropertyBag::new();
    // Of any other, a browser may change the end of the name.
    options.set_type("application/octet-stream");
    let whole = Blob::new_with_blob_sequence_and_options(parts, &options)?;
    let url = Url::create_object_url_with_blob(&whole)?;
    let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
    link.set_href(&url);
    link.set_download(name);
    link.click();
    Ok(url)
}
