//! A seat in a room: someone there, whatever the transport. What a client's frame does is decided here,
//! once for all of them.

use std::time::Instant;

use common::{
    After, ClientFrame, Hello, Position, Publish, Recovery, Refusal, RoomName, ServerFrame,
};
use futures_util::{FutureExt, future::BoxFuture};
use hub::{Author, HubError, Present, Reader, Viewer};

use crate::{clock::now_ms, problem::refusal, state::ServerState};

/// Someone in a room over one connection; dropping it is losing the connection.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) server: ServerState,
    pub(crate) room: RoomName,
    author: Author,
    /// What its sending is counted under.
    sender: String,
    present: Present,
}

/// What comes of a frame.
pub(crate) enum Outcome {
    /// Nothing to tell.
    Done,
    /// This is to be told.
    Answer(ServerFrame),
    /// A message is on its way to the log, and this comes to the answer. The next may be said before.
    Keeping(BoxFuture<'static, ServerFrame>),
}

impl Seat {
    /// Takes a seat in `room` for `author`, whose frames are counted under its session.
    ///
    /// # Errors
    ///
    /// [`HubError::TooManyRooms`].
    pub(crate) fn take(
        server: &ServerState,
        room: &RoomName,
        author: Author,
    ) -> Result<Self, HubError> {
        let sender = author.session.to_string();
        Self::take_as(server, room, author, sender)
    }

    /// As [`Seat::take`], for somebody whose frames are counted under `sender`.
    ///
    /// # Errors
    ///
    /// [`HubError::TooManyRooms`].
    pub(crate) fn take_as(
        server: &ServerState,
        room: &RoomName,
        author: Author,
        sender: String,
    ) -> Result<Self, HubError> {
        let present = server.hub.enter(room, &author.member)?;
        Ok(Self { server: server.clone(), room: room.clone(), author, sender, present })
    }

    /// A reader for whoever sits here, who is told who is here and who is typing if `state` says so.
    ///
    /// # Errors
    ///
    /// As [`hub::Hub::read`].
    pub(crate) async fn read(
        &self,
        after: &After,
        state: bool,
    ) -> Result<(Reader, Recovery), HubError> {
        let hub = &self.server.hub;
        let (reader, recovery) = hub.read(&self.room, viewer(&self.author), after).await?;
        match state {
            true => Ok((reader.with_state(hub.limits().state_interval), recovery)),
            false => Ok((reader, recovery)),
        }
    }

    /// The `hello` for a reading that starts at `position`.
    pub(crate) fn hello(&self, position: Position, recovery: Recovery) -> ServerFrame {
        ServerFrame::Hello(Hello {
            session: self.author.session.clone(),
            member: self.author.member.clone(),
            room: self.room.clone(),
            position,
            recovery,
        })
    }

    /// Does what a frame asks for.
    pub(crate) fn handle(&mut self, text: &str) -> Outcome {
        self.handle_parsed(ClientFrame::parse(text))
    }

    /// As [`Seat::handle`], for a transport with a shape of its own.
    pub(crate) fn handle_parsed(&mut self, frame: Result<ClientFrame, Refusal>) -> Outcome {
        let id = match &frame {
            Ok(ClientFrame::Message(publish)) => publish.id.as_ref().map(ToString::to_string),
            Ok(ClientFrame::Typing {} | ClientFrame::Rename { .. }) => None,
            Err(refusal) => refusal.id.clone(),
        };
        // Every frame counts, also one that is no good.
        if let Err(refusal) = self.server.check_rate(&self.sender, 1) {
            return Outcome::Answer(ServerFrame::Error(refusal.about(id.as_deref())));
        }
        match frame {
            Ok(ClientFrame::Message(publish)) => {
                self.present.stopped_typing();
                Outcome::Keeping(self.keep(publish, id))
            }
            Ok(ClientFrame::Typing {}) => {
                self.present.typing(Instant::now() + self.server.hub.limits().typing);
                Outcome::Done
            }
            Ok(ClientFrame::Rename { name }) => {
                self.author.member.name = name.clone();
                self.present.rename(name);
                Outcome::Done
            }
            Err(refusal) => Outcome::Answer(ServerFrame::Error(refusal)),
        }
    }

    fn keep(&mut self, publish: Publish, id: Option<String>) -> BoxFuture<'static, ServerFrame> {
        // Another tab may have changed the name.
        if let Some(name) = self.present.name() {
            self.author.member.name = name;
        }
        let (server, room, author) = (self.server.clone(), self.room.clone(), self.author.clone());
        let keep = async move {
            match server.hub.publish(&room, &author, publish, now_ms()).await {
                Ok(taken) => ServerFrame::Ack { id: taken.id, offset: taken.position.offset },
                Err(error) => ServerFrame::Error(refusal(error).about(id.as_deref())),
            }
        };
        keep.boxed()
    }

    /// Whoever sits here goes by its own will.
    pub(crate) fn leave(self) {
        self.present.leave(self.server.hub.limits());
    }
}

/// Who reads, where `author` speaks.
pub(crate) fn viewer(author: &Author) -> Viewer {
    Viewer { session: Some(author.session.clone()), member: author.member.id.clone() }
}
