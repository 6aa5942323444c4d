//! What happens in a history besides that time passes: what people do, and what is done to hubs and networks.

use axum::http::Method;
use client::{Event, Transport};
use common::{After, Audience, MessageId, Publish};
use hub::broker::Broker;

use super::{TABS, World, is_page};
use crate::{log::Crash, network::Weather};

/// More than messages are kept for.
const FORTY_DAYS: u64 = 40 * 24 * 60 * 60 * 1_000;

impl World {
    /// Something does, by chance.
    pub(super) async fn something_happens(&mut self) {
        let n = self.net.rng.usize(..TABS);
        match self.net.rng.u8(..100) {
            0..50 => self.say(n),
            50..58 => self.retry_stuck(n),
            58..66 => self.cut(n),
            66..69 => self.reload(n).await,
            69..71 => self.tell(n, Event::Wake),
            71..73 => self.restart().await,
            73..75 => self.stop_calmly().await,
            75..77 => self.tidy().await,
            77 => self.burst(),
            78..81 => self.change_weather(n),
            81 => {
                let choice = [None, Some(Transport::Events), Some(Transport::Poll)];
                let choice = choice[self.net.rng.usize(..3)];
                self.tell(n, Event::Choose(choice));
            }
            82..84 => {
                let idle = self.net.rng.bool();
                self.tell(n, Event::Idle(idle));
            }
            84..86 => self.tell(n, Event::Typing(true)),
            86..98 => self.nats_suffers(),
            _ => {}
        }
    }

    fn say(&mut self, n: usize) {
        let id = MessageId::parse(&format!("{n}-{}", self.tabs[n].said.len())).unwrap();
        let to = match self.net.rng.u8(..6) {
            0 => Audience::Others,
            1 => Audience::Own,
            2 => {
                let tab = self.tabs[3].session.clone();
                Audience::Only(
                    [self.tabs[1].member.id.to_string()].into_iter().chain(tab).collect(),
                )
            }
            _ => Audience::All,
        };
        let publish = Publish { id: Some(id.clone()), to, ..Publish::text("hi").unwrap() };
        if self.tabs[n].client.after() == &After::Now {
            return;
        }
        self.tabs[n].said.push(id);
        self.tell(n, Event::Say(publish));
    }

    pub(super) fn retry_stuck(&mut self, n: usize) {
        for id in self.tabs[n].stuck() {
            self.tell(n, Event::Retry(id));
        }
        // A program has nobody to ask: what it was refused it lets go of, and says again.
        let view = is_page(n);
        let let_go: Vec<_> = self.tabs[n].overtaken.iter().cloned().collect();
        for id in let_go.into_iter().filter(|_| !view) {
            let kept = self.log.truth().iter().any(|kept| kept.envelope.id == id);
            if !kept && !self.tabs[n].client.unsent().any(|unsent| *unsent == id) {
                let publish = Publish { id: Some(id), ..Publish::text("hi").unwrap() };
                self.tell(n, Event::Say(publish));
            }
        }
    }

    fn cut(&mut self, n: usize) {
        for leg in self.legs.iter_mut().filter(|leg| leg.tab == n && !leg.deaf) {
            leg.cut(self.now, &mut self.net);
        }
    }

    fn change_weather(&mut self, n: usize) {
        let kinds = [Weather::Fine, Weather::Refused, Weather::Mute, Weather::Cut, Weather::Slow];
        let transport = self.net.rng.u8(..3);
        let weather = kinds[self.net.rng.usize(..kinds.len())];
        self.weather.insert((n, transport), weather);
    }

    /// The tab loads its page anew; what it could not say is kept by the browser.
    async fn reload(&mut self, n: usize) {
        let session = self.tabs[n].kept.get("session").cloned().unwrap_or_default();
        let token = self.tabs[n].token.clone();
        let Some(latest) = self.latest(&token, &session).await else { return };
        let truth = self.log.truth().clone();
        for message in &latest.messages {
            let kept = truth.iter().find(|kept| kept.offset == message.offset).unwrap();
            assert!(self.tabs[n].may_read(kept), "invariant 7: the page shows {message:?}");
            assert_eq!(kept.message, *message, "invariant 6");
        }
        self.tell(n, Event::Leaving);
        for leg in self.legs.iter_mut().filter(|leg| leg.tab == n && !leg.deaf) {
            leg.give_up(&mut self.net);
        }
        self.stored.retain(|(tab, _)| *tab != n);
        let setup = self.setup(n, &token, &latest);
        let tab = &mut self.tabs[n];
        // Whichever tab takes it over, it is said; but in which order is nobody's promise.
        tab.overtaken.extend(tab.client.unsent().cloned());
        tab.rows = client::first_rows(setup.messages.clone());
        tab.transport = Transport::WebSocket;
        tab.cursor = latest.position;
        tab.client = client::Client::new(setup);
        self.start_tab(n);
    }

    /// A program says much at once: more than is kept, more than the tail holds, or more than a reader takes at
    /// one time.
    fn burst(&mut self) {
        let Some((place, far)) = self.any() else { return };
        let messages = if self.net.rng.u8(..20) == 0 { 600 } else { self.net.rng.usize(5..60) };
        let now = self.now;
        let burst = async move {
            for n in 0..messages {
                let body = format!(r#"{{"value":"beep","id":"b{now}-{n}"}}"#);
                far.ask(Method::POST, "http://hub/api/rooms/tea/messages", body).await;
            }
        };
        self.hubs[place].as_mut().unwrap().does(burst);
    }

    /// By a clock that may be forty days ahead, or behind.
    async fn tidy(&mut self) {
        if self.log.nats().is_some() {
            let Some((place, _)) = self.any() else { return };
            return self.hubs[place].as_mut().unwrap().tidy(&mut self.net.rng);
        }
        let jump = [0, 0, FORTY_DAYS][self.net.rng.usize(..3)];
        let at = if self.net.rng.bool() { self.now + jump } else { self.now - jump };
        // The disk may be full.
        let _ = Broker::tidy(&*self.log, at).await;
        if self.keeps_all {
            self.log.has_all().await;
        }
    }

    fn nats_suffers(&mut self) {
        if let (Some(nats), Some((place, _))) = (self.log.nats(), self.any()) {
            self.hubs[place].as_ref().unwrap().suffer(&nats, &mut self.net.rng);
        }
    }

    /// A hub dies and is back, or stays away for a while.
    async fn restart(&mut self) {
        let place = self.net.rng.usize(..self.hubs.len());
        if self.hubs[place].take().is_some() {
            self.happens("hubs killed");
        }
        self.legs.iter_mut().for_each(|leg| leg.lose_hub(place, self.now));
        let crash = if self.net.rng.bool() { Crash::Killed } else { Crash::PowerCut };
        self.log.crash(crash);
        if self.net.rng.bool() {
            self.start(place).await;
        }
    }

    async fn stop_calmly(&mut self) {
        let Some((place, far)) = self.any() else { return };
        far.door.close();
        drop(far);
        let up = self.up();
        for leg in &mut self.legs {
            leg.serve(&up, self.now, &mut self.net).await;
            leg.lose_hub(place, self.now);
        }
        drop(up);
        self.hubs[place] = None;
        self.happens("hubs stopped");
        // What was being asked of it ends with it.
        while self.log.is_in_use() {
            tokio::task::yield_now().await;
        }
        self.log.restart();
        self.start(place).await;
    }
}
