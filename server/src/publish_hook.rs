//! The hook that is asked before something is kept: an address of the operator's, which lets messages pass, changes them or
//! refuses them. It is asked as webhooks are told, with the same signature.
//!
//! The rule to keep: it is waited for so long and no longer, and what holds when it is late was decided by the operator
//! beforehand.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use clap::ValueEnum;
use common::{ErrorCode, Member, Publish, Refusal, RoomName};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    fetch,
    telemetry::{
        Telemetry,
        traces::{Span, Work},
    },
    webhook::{Secret, Webhook},
};

/// The longest answer, in bytes: a hundred messages.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// How much of its words the sender is told, in characters.
const WORDS: usize = 200;
/// How many may be asked about at one time: each is a descriptor. The others wait, and that counts.
const AT_ONCE: usize = 32;
/// After so many in a row that it was not there for nobody waits for it, for so long; then one looks whether it is.
const FAILURES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(10);

/// What holds when the hook does not answer in time, or not as it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Late {
    /// Nothing is kept that it has not seen.
    #[default]
    Refuse,
    /// Messages are kept as they are.
    Allow,
}

/// Whom the operator has asked about what is said.
#[derive(Debug)]
pub(crate) struct PublishHook {
    hooks: Vec<(Webhook, Mutex<Circuit>)>,
    places: Semaphore,
    secret: Secret,
    within: Duration,
    late: Late,
    telemetry: Arc<Telemetry>,
}

/// Whether it is worth to wait for an answer.
#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    /// Until then it is not.
    open_until: Option<Instant>,
}

impl Circuit {
    /// Whether to ask now. After a pause one does, and the others wait for what comes of it.
    fn asks(&mut self, now: Instant) -> bool {
        match self.open_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.open_until = Some(now + PAUSE);
                true
            }
            None => true,
        }
    }

    fn answered(&mut self, is_there: bool, now: Instant) {
        self.failures = if is_there { 0 } else { self.failures.saturating_add(1) };
        self.open_until = (self.failures >= FAILURES).then(|| now + PAUSE);
    }

    /// Whoever asked has gone before there was an answer: the next one may ask in its place.
    fn left(&mut self, now: Instant) {
        self.open_until = self.open_until.map(|_| now);
    }
}

/// One that asks, until it is settled what came of it.
struct Asking<'c>(Option<&'c Mutex<Circuit>>);

impl Asking<'_> {
    fn settle(mut self, is_there: bool) {
        if let Some(circuit) = self.0.take() {
            circuit.lock().answered(is_there, Instant::now());
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(circuit) = self.0 {
            circuit.lock().left(Instant::now());
        }
    }
}

/// Why there is no decision.
enum Undecided {
    /// It is not there, or has too much to do.
    Away(String),
    /// It can't decide about these.
    Unfit(String),
}

/// What it may answer; nothing is to let pass.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Decision {
    /// Why it is refused, for whoever said it.
    refuse: Option<String>,
    /// The same messages, in the same order, with other values.
    messages: Option<Vec<Changed>>,
}

#[derive(Debug, Deserialize)]
struct Changed {
    /// Another value; absent is the one there was.
    #[serde(default)]
    value: Option<Value>,
}

impl PublishHook {
    /// These are asked, each about its rooms; the first that a room is of.
    pub(crate) fn new(
        hooks: Vec<Webhook>,
        secret: Secret,
        within: Duration,
        late: Late,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let hooks = hooks.into_iter().map(|hook| (hook, Mutex::default())).collect();
        Self { hooks, places: Semaphore::new(AT_ONCE), secret, within, late, telemetry }
    }

    /// Whether it is asked about what is said in `room`.
    pub(crate) fn is_of(&self, room: &RoomName) -> bool {
        self.hooks.iter().any(|(hook, _)| hook.is_of(room))
    }

    /// What is to be kept of `messages`, which `from` wants to say in `room`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Declined`] with its words; [`ErrorCode::Unavailable`] where it is late and that is to refuse.
    pub(crate) async fn decide(
        &self,
        room: &RoomName,
        from: &Member,
        messages: Vec<Publish>,
    ) -> Result<Vec<Publish>, Refusal> {
        let Some((hook, circuit)) = self.hooks.iter().find(|(hook, _)| hook.is_of(room)) else {
            return Ok(messages);
        };
        if !circuit.lock().asks(Instant::now()) {
            return self.late(messages);
        }
        let asking = Asking(Some(circuit));
        let span = self.telemetry.traces.begin(Work::PublishHook);
        let data = json!({"room": room, "from": from, "messages": &messages});
        let decided = self.ask(hook, data, &span).await;
        asking.settle(!matches!(decided, Err(Undecided::Away(_))));
        match decided.and_then(|decision| apply(decision, &messages).map_err(Undecided::Unfit)) {
            Ok(Ok(decided)) => {
                let outcome = if decided == messages { "passed" } else { "changed" };
                span.came_to(outcome);
                self.telemetry.asked(outcome);
                Ok(decided)
            }
            Ok(Err(refusal)) => {
                span.came_to("refused");
                self.telemetry.asked("refused");
                Err(refusal)
            }
            // Anybody can have this come, as often as they like.
            Err(Undecided::Away(why) | Undecided::Unfit(why)) => {
                tracing::debug!(%why, "the publish hook did not decide");
                span.came_to("late");
                span.fail();
                self.late(messages)
            }
        }
    }

    fn late(&self, messages: Vec<Publish>) -> Result<Vec<Publish>, Refusal> {
        self.telemetry.asked("late");
        match self.late {
            Late::Allow => Ok(messages),
            Late::Refuse => {
                let message = "what decides about messages here does not answer; try again later";
                Err(Refusal::new(ErrorCode::Unavailable, message))
            }
        }
    }

    async fn ask(&self, hook: &Webhook, data: Value, span: &Span) -> Result<Decision, Undecided> {
        let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
        let body = json!({"type": "publish", "data": data}).to_string();
        let headers: Vec<_> =
            self.secret.headers(&id, &body).into_iter().chain(span.parent()).collect();
        let asking = async {
            let _place = self.places.acquire().await;
            fetch::ask(Method::POST, hook.url(), &headers, body, ANSWER_BYTES, self.within).await
        };
        let late = |_| Undecided::Away("it was late".to_owned());
        let asked = timeout(self.within, asking).await.map_err(late)?.map_err(Undecided::Away)?;
        span.answered(asked.status.as_u16());
        let why = || format!("it answered {}", asked.status.as_u16());
        if asked.status.is_server_error() || asked.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Undecided::Away(why()));
        }
        if !asked.status.is_success() {
            return Err(Undecided::Unfit(why()));
        }
        if asked.status == StatusCode::NO_CONTENT || asked.body.is_empty() {
            return Ok(Decision::default());
        }
        // Not the words of the error, which has words of the answer in it.
        serde_json::from_slice(&asked.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Undecided::Unfit(format!("its answer can't be read, at line {line}, column {column}"))
        })
    }
}

/// What a decision makes of `messages`.
///
/// # Errors
///
/// What is wrong with the decision.
fn apply(
    decision: Decision,
    messages: &[Publish],
) -> Result<Result<Vec<Publish>, Refusal>, String> {
    if let Some(words) = decision.refuse {
        let id = messages.first().and_then(|message| message.id.as_ref());
        let words: String = words.chars().take(WORDS).collect();
        let refusal = Refusal::new(ErrorCode::Declined, words);
        return Ok(Err(refusal.about(id.map(common::MessageId::as_str))));
    }
    let Some(changed) = decision.messages else { return Ok(Ok(messages.to_vec())) };
    if changed.len() != messages.len() {
        let (of, made) = (messages.len(), changed.len());
        return Err(format!("it made {made} messages of {of}"));
    }
    let change = |(message, Changed { value }): (&Publish, Changed)| match value {
        None => Ok(message.clone()),
        Some(value) => {
            let mut params = serde_json::to_value(message).map_err(|error| error.to_string())?;
            params["value"] = value;
            Publish::from_params(params).map_err(|refusal| refusal.message)
        }
    };
    messages.iter().zip(changed).map(change).collect::<Result<_, _>>().map(Ok)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn decided(answer: &str, texts: &[&str]) -> Result<Result<Vec<Publish>, Refusal>, String> {
        let messages: Vec<_> = texts.iter().map(|text| Publish::text(text).unwrap()).collect();
        apply(serde_json::from_str(answer).unwrap(), &messages)
    }

    fn values(answer: &str, texts: &[&str]) -> Vec<Value> {
        let kept = decided(answer, texts).unwrap().unwrap();
        kept.into_iter().map(|message| message.value).collect()
    }

    #[test]
    fn messages_pass_or_are_changed_or_refused() {
        assert_eq!(values("{}", &["one", "two"]), ["one", "two"]);
        let changed = r#"{"messages": [{}, {"value": "2"}]}"#;
        assert_eq!(values(changed, &["one", "two"]), ["one", "2"]);
        let refused = decided(r#"{"refuse": "not here"}"#, &["one"]).unwrap().unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::Declined, "not here"));
        let long = format!(r#"{{"refuse": "{}"}}"#, "말".repeat(1_000));
        assert_eq!(decided(&long, &["one"]).unwrap().unwrap_err().message.chars().count(), WORDS);
    }

    #[test]
    fn what_it_makes_of_them_has_to_be_messages_and_as_many() {
        assert!(decided(r#"{"messages": []}"#, &["one"]).unwrap_err().contains("0 messages of 1"));
        assert!(decided(r#"{"messages": [{"value": ""}]}"#, &["one"]).is_err());
    }

    #[test]
    fn one_that_is_late_again_and_again_is_asked_by_one_after_a_pause() {
        let (mut circuit, mut now) = (Circuit::default(), Instant::now());
        for _ in 0..FAILURES {
            assert!(circuit.asks(now));
            circuit.answered(false, now);
        }
        assert!(!circuit.asks(now));
        now += PAUSE;
        assert!(circuit.asks(now));
        assert!(!circuit.asks(now));
        // Whoever asked is gone: another does.
        circuit.left(now);
        assert!(circuit.asks(now));
        circuit.answered(false, now);
        assert!(!circuit.asks(now));
        now += PAUSE;
        assert!(circuit.asks(now));
        circuit.answered(true, now);
        assert!(circuit.asks(now) && circuit.asks(now));
    }
}
