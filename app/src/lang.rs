//! Every text people see, in Korean and English.
//!
//! A language is a value of [`Strings`], so a text that is missing in one does not compile.

mod admin;
mod lab;

pub(crate) use self::admin::AdminStrings;
pub(crate) use self::lab::{LabStrings, grouped, ms};

use client::{File, FileWhy, Method, Road, Stage, Transport};
use common::{ErrorCode, Refusal};
use serde::{Deserialize, Serialize};

use crate::{
    browser::{Denied, Source},
    theme::Theme,
};

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// 한국어
    Ko,
    /// English
    #[default]
    En,
}

impl Lang {
    /// Its tag (RFC 5646), for `lang=` and cookies.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Ko => "ko",
            Self::En => "en",
        }
    }

    /// The language of a tag: by its first part, so `ko-KR` is Korean.
    pub fn parse(tag: &str) -> Option<Self> {
        let first = tag.split(['-', '_']).next().unwrap_or_default();
        [Self::Ko, Self::En].into_iter().find(|lang| first.eq_ignore_ascii_case(lang.tag()))
    }

    /// What an `Accept-Language` header asks for (RFC 9110 section 12.5.4).
    pub fn negotiate(header: &str) -> Self {
        let mut wanted: Vec<_> = header
            .split(',')
            .filter_map(|range| {
                let mut parts = range.split(';');
                let lang = Self::parse(parts.next()?.trim())?;
                let quality = parts
                    .find_map(|part| part.trim().strip_prefix("q="))
                    .map_or(1.0, |q| q.trim().parse::<f32>().unwrap_or(0.0));
                (quality > 0.0).then_some((quality, lang))
            })
            .collect();
        // Stable: of equals the first named wins.
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
        wanted.first().map_or_else(Self::default, |(_, lang)| *lang)
    }

    /// The other one, for a switch.
    pub fn other(self) -> Self {
        match self {
            Self::Ko => Self::En,
            Self::En => Self::Ko,
        }
    }

    /// Its texts.
    pub fn strings(self) -> &'static Strings {
        match self {
            Self::Ko => &KO,
            Self::En => &EN,
        }
    }
}

/// The texts of one language. Functions where a number or a name is in the middle.
#[allow(missing_docs, missing_debug_implementations)]
pub struct Strings {
    pub(crate) lab: &'static LabStrings,
    pub(crate) admin: &'static AdminStrings,
    pub tagline: &'static str,
    pub rooms: &'static str,
    pub no_rooms: &'static str,
    pub open_room: &'static str,
    pub room_name: &'static str,
    pub open: &'static str,
    pub lobby_hint: &'static str,
    pub people: fn(usize) -> String,
    pub last_message: &'static str,
    pub quiet: &'static str,
    pub not_found: &'static str,
    pub not_found_text: &'static str,
    pub home: &'static str,
    pub switch_language: &'static str,
    pub theme: fn(Theme) -> &'static str,
    pub your_name: &'static str,
    pub first_name: &'static str,
    pub take_name: &'static str,
    /// By what name one goes who picks none.
    pub or_stay: fn(&str) -> String,
    pub save: &'static str,
    pub more: &'static str,
    pub share: &'static str,
    pub sound_too: &'static str,
    pub notify_me: &'static str,
    pub notify_denied: &'static str,
    pub change_name: &'static str,
    pub messages: &'static str,
    pub older_messages: &'static str,
    pub message_missing: &'static str,
    pub search: &'static str,
    pub search_in_room: &'static str,
    pub nothing_found: &'static str,
    pub nothing_found_yet: &'static str,
    pub search_on: &'static str,
    pub back_to_room: &'static str,
    pub new_since: &'static str,
    pub message_tools: &'static str,
    pub react_with: fn(&str) -> String,
    pub reactions: &'static str,
    /// The emoji, how many, and who.
    pub reacted: fn(&str, usize, &str) -> String,
    pub edit_message: &'static str,
    pub take_back: &'static str,
    pub take_back_sure: &'static str,
    pub edited: &'static str,
    pub editing: &'static str,
    pub copy_link: &'static str,
    pub link_copied: &'static str,
    pub to_newest: &'static str,
    pub empty_room: &'static str,
    pub invite_people: &'static str,
    pub invite_programs: &'static str,
    pub invite_programs_text: &'static str,
    pub qr: &'static str,
    pub copied: &'static str,
    pub fresh_room: &'static str,
    pub recent_rooms: &'static str,
    /// Year, month, day, and the weekday from Sunday on.
    pub day: fn(u32, u32, u32, usize) -> String,
    pub write_here: &'static str,
    pub message: &'static str,
    pub send: &'static str,
    pub keys_hint: &'static str,
    pub help: &'static str,
    /// Keys, with blanks between them, and what they do.
    pub keys: &'static [(&'static str, &'static str)],
    pub here: &'static str,
    pub you: &'static str,
    pub away: &'static str,
    pub and_more: fn(usize) -> String,
    pub typing: fn(&[String]) -> String,
    pub mention: &'static str,
    /// How long a text is, and may be, in bytes.
    pub length: fn(usize, usize) -> String,
    pub for_whom: &'static str,
    pub for_all: &'static str,
    pub for_others: &'static str,
    pub for_me: &'static str,
    pub to_others: &'static str,
    pub to_self: &'static str,
    pub to_some: &'static str,
    pub to_you: &'static str,
    pub to_one: fn(&str) -> String,
    pub to_you_and: fn(&str) -> String,
    pub write_to_one: fn(&str) -> String,
    pub write_to_all: &'static str,
    pub road: fn(Road) -> &'static str,
    pub went_directly: &'static str,
    pub went_directly_text: &'static str,
    pub went_by_server: &'static str,
    pub went_by_server_text: &'static str,
    pub call: &'static str,
    pub start_call: &'static str,
    pub join_call: &'static str,
    pub leave_call: &'static str,
    pub in_call: &'static str,
    pub are_in_call: fn(&[String]) -> String,
    pub call_full: &'static str,
    pub(crate) asking: fn(Source) -> &'static str,
    pub(crate) denied: fn(Source, Denied) -> String,
    pub only_listen: &'static str,
    pub mute: &'static str,
    pub unmute: &'static str,
    pub muted: &'static str,
    pub speaks: &'static str,
    pub camera_on: &'static str,
    pub camera_off: &'static str,
    pub share_screen: &'static str,
    pub stop_sharing: &'static str,
    pub screen_of: fn(&str) -> String,
    pub devices: &'static str,
    pub(crate) source: fn(Source) -> &'static str,
    pub connecting: &'static str,
    pub no_way_to_them: &'static str,
    pub files: &'static str,
    pub send_file: &'static str,
    pub file_to: fn(&str) -> String,
    pub file_from: fn(&str) -> String,
    pub file_stage: fn(&File) -> String,
    pub accepting_connects: &'static str,
    pub file_too_big: fn(&str) -> String,
    pub time_left: fn(u64) -> String,
    pub accept: &'static str,
    pub decline: &'static str,
    pub cancel: &'static str,
    pub dismiss: &'static str,
    pub sending: &'static str,
    pub not_sent: &'static str,
    pub unknown: &'static str,
    pub copy: &'static str,
    pub retry: &'static str,
    pub discard: &'static str,
    pub gap: &'static str,
    pub new_messages: fn(usize) -> String,
    pub offline: &'static str,
    pub retrying: &'static str,
    pub retrying_in: fn(u64) -> String,
    pub retry_now: &'static str,
    pub static_page: &'static str,
    pub stopped_working: &'static str,
    pub access_over: &'static str,
    pub read_only: &'static str,
    pub locked: &'static str,
    pub locked_text: &'static str,
    pub token: &'static str,
    pub token_is_no_good: &'static str,
    pub come_in: &'static str,
    pub inspector: &'static str,
    pub open_inspector: &'static str,
    pub close: &'static str,
    pub from_programs: &'static str,
    pub transport: &'static str,
    pub automatic: &'static str,
    pub transport_name: fn(Transport) -> &'static str,
    pub ready_state: &'static str,
    pub bytes_in: &'static str,
    pub bytes_out: &'static str,
    pub events: &'static str,
    pub no_events: &'static str,
    pub dropped_events: fn(usize) -> String,
    pub clear: &'static str,
    pub filter: &'static str,
    pub pause: &'static str,
    pub export: &'static str,
    pub error_event: &'static str,
    pub no_answer: fn(Method) -> String,
    pub bad_answer: fn(u16) -> String,
    pub close_code: fn(u16) -> &'static str,
    refusal: fn(&Refusal) -> String,
}

impl Strings {
    /// A refusal, for people.
    pub fn refusal(&self, refusal: &Refusal) -> String {
        (self.refusal)(refusal)
    }
}

const EN: Strings = Strings {
    lab: &lab::EN,
    admin: &admin::EN,
    tagline: "Open a page, pick a name, write. Everyone in the room sees it at once.",
    rooms: "Rooms",
    no_rooms: "No room is open yet. Open the first one.",
    open_room: "Open a room",
    room_name: "Name of the room",
    open: "Open",
    lobby_hint: "Or just go to the lobby",
    people: |count| match count {
        0 => "nobody here".to_owned(),
        1 => "1 person here".to_owned(),
        _ => format!("{count} people here"),
    },
    last_message: "last message",
    quiet: "quiet so far",
    not_found: "There is nothing here",
    not_found_text: "The address may be mistyped. A room's name has 1 to 64 characters and no slash.",
    home: "All rooms",
    switch_language: "한국어로 보기",
    theme: |theme| match theme {
        Theme::System => "Appearance: same as your system",
        Theme::Light => "Appearance: light",
        Theme::Dark => "Appearance: dark",
    },
    your_name: "Your name",
    first_name: "What shall we call you?",
    take_name: "That’s me",
    or_stay: |name| format!("Or just write: until you pick one, you are {name}."),
    save: "Save",
    more: "Menu",
    share: "Share…",
    sound_too: "With a sound",
    notify_me: "Notify me when somebody names me, or writes to me alone, while I look elsewhere",
    notify_denied: "The browser does not allow notifications.",
    change_name: "Change your name",
    messages: "Messages",
    day: |year, month, day, weekday| {
        const DAYS: [&str; 7] =
            ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
        const MONTHS: [&str; 12] = [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ];
        let month = MONTHS.get(month.wrapping_sub(1) as usize).copied().unwrap_or_default();
        format!("{}, {day} {month} {year}", DAYS.get(weekday).copied().unwrap_or_default())
    },
    older_messages: "Older messages",
    search: "Search",
    search_in_room: "Search this room",
    nothing_found: "Nothing was found.",
    nothing_found_yet: "Nothing among the 10,000 messages looked through.",
    search_on: "Search older messages",
    back_to_room: "Back to the room",
    message_missing: "That message is not here any more, or it is not for you.",
    new_since: "New",
    message_tools: "What to do with this message",
    react_with: |emoji| format!("React with {emoji}"),
    reactions: "Reactions",
    reacted: |emoji, count, names| format!("{emoji} {count}: {names}"),
    edit_message: "Edit",
    take_back: "Take back",
    take_back_sure: "Really? It is gone for everyone",
    edited: "edited",
    editing: "You are editing what you said. Esc leaves it as it was.",
    copy_link: "Copy link",
    link_copied: "The link is copied.",
    to_newest: "To the newest messages",
    invite_people: "Invite people",
    invite_programs: "Let a program in",
    invite_programs_text: "One line says something here; more ways are behind </> above.",
    qr: "The address of this room as a QR code",
    copied: "Copied.",
    fresh_room: "Start a new room",
    recent_rooms: "Where you were",
    empty_room: "Nothing has been said here yet. Say hello!",
    write_here: "Write a message",
    message: "Message",
    send: "Send",
    keys_hint: "Enter sends, Shift+Enter starts a new line",
    help: "Keyboard",
    keys: &[
        ("Enter", "Send"),
        ("Shift Enter", "Start a new line"),
        ("↑", "In an empty field: edit what you said last"),
        ("@", "Name somebody who is here"),
        ("Esc", "Stop editing, write to everyone again, or go from the log to the field"),
        (
            "Enter ↑ ↓",
            "In the log: go to a message and on to others; Enter opens what can be done with it",
        ),
        ("End", "To the newest message"),
        ("/", "Search this room"),
        ("?", "This list"),
    ],
    here: "Here now",
    you: "you",
    away: "away",
    and_more: |count| format!("and {count} more"),
    typing: |names| match names {
        [] => String::new(),
        [one] => format!("{one} is writing…"),
        [one, two] => format!("{one} and {two} are writing…"),
        _ => format!("{} people are writing…", names.len()),
    },
    mention: "Name somebody",
    length: |now, most| match most.checked_sub(now) {
        Some(left) => format!("{left} bytes left"),
        None => format!("{} bytes too long", now - most),
    },
    for_whom: "Who gets it",
    for_all: "Everyone",
    for_others: "Everyone but me",
    for_me: "Only me",
    to_others: "to the others",
    to_self: "only to you",
    to_some: "only to some people",
    to_you: "only to you",
    to_one: |name| format!("only to {name}"),
    to_you_and: |names| format!("only to you and {names}"),
    write_to_one: |name| format!("Write to {name} alone"),
    write_to_all: "Write to everyone again",
    road: |road| match road {
        Road::Hub => "through the server, which keeps it",
        Road::Trying => "looking for a direct way; until then through the server, which keeps it",
        Road::Direct => {
            "directly, browser to browser; only if it doesn’t arrive, through the server, which keeps it"
        }
        Road::Relayed => {
            "through the server, which keeps it; directly once they pick you as well, where there is a way"
        }
    },
    went_directly: "direct",
    went_directly_text: "Went from browser to browser; the server doesn’t have it",
    went_by_server: "relayed",
    went_by_server_text: "Went through the server, which keeps it",
    call: "Call",
    start_call: "Start a call",
    join_call: "Join the call",
    leave_call: "Leave",
    in_call: "In the call",
    are_in_call: |names| match names {
        [one] => format!("{one} is in a call."),
        [one, two] => format!("{one} and {two} are in a call."),
        _ => format!("{} people are in a call.", names.len()),
    },
    call_full: "The call is full: six can be in it.",
    asking: |source| match source {
        Source::Microphone => {
            "Your browser asks whether this page may use the microphone. In a call you are connected browser to browser; each then knows the other’s network address."
        }
        Source::Camera => "Your browser asks whether this page may use the camera.",
        Source::Screen => "Your browser asks what of your screen to show.",
    },
    denied: |source, why| {
        let what = match source {
            Source::Microphone => "microphone",
            Source::Camera => "camera",
            Source::Screen => "screen",
        };
        match why {
            Denied::Insecure => {
                format!(
                    "Browsers give the {what} only to pages that come by https, or from this machine."
                )
            }
            Denied::Refused => {
                format!(
                    "Your browser doesn’t let this page use the {what}. Allow it beside the address, and try again."
                )
            }
            Denied::Absent => format!("No {what} was found."),
            Denied::InUse => {
                format!("The {what} can’t be opened; perhaps another program uses it.")
            }
            Denied::Alone => {
                "This browser can’t be connected with another one (WebRTC), so it has no calls."
                    .to_owned()
            }
            Denied::Unknown => format!("The {what} can’t be opened."),
        }
    },
    only_listen: "Join without a microphone",
    mute: "Mute",
    unmute: "Unmute",
    muted: "muted",
    speaks: "speaking",
    camera_on: "Camera on",
    camera_off: "Camera off",
    share_screen: "Share screen",
    stop_sharing: "Stop sharing",
    screen_of: |name| format!("{name}’s screen"),
    devices: "Devices",
    source: |source| match source {
        Source::Microphone => "Microphone",
        Source::Camera => "Camera",
        Source::Screen => "Screen",
    },
    connecting: "Connecting…",
    no_way_to_them: "No direct way to them was found.",
    files: "Files",
    send_file: "Send a file",
    file_to: |name| format!("to {name}"),
    file_from: |name| format!("from {name}"),
    file_stage: |file| {
        let name = &file.member.name;
        match (file.stage, file.outgoing) {
            (Stage::Offered, true) => format!("{name} has not answered yet."),
            (Stage::Offered, false) => format!("{name} wants to send you this file."),
            (Stage::Waiting, _) => "Waiting for a direct way, or for its turn.".to_owned(),
            (Stage::Flowing, true) => "On its way, from your browser to theirs.".to_owned(),
            (Stage::Flowing, false) => "On its way, from their browser to yours.".to_owned(),
            (Stage::Done, true) => "Arrived whole: its checksum is right.".to_owned(),
            (Stage::Done, false) => "Saved, and whole: its checksum is right.".to_owned(),
            (Stage::Ended(why), outgoing) => match (why, outgoing) {
                (FileWhy::Declined, true) => format!("{name} declined it."),
                (FileWhy::Declined, false) => "You declined it.".to_owned(),
                (FileWhy::Cancelled, _) => "Cancelled.".to_owned(),
                (FileWhy::Broken, _) => "Stopped: it did not come as it was sent.".to_owned(),
                (FileWhy::Unreadable, true) => {
                    "Stopped: your browser can’t read it any more.".to_owned()
                }
                (FileWhy::Unreadable, false) => {
                    "Stopped: their browser can’t read it any more.".to_owned()
                }
                (FileWhy::Unwritable, true) => "Stopped: their browser can’t write it.".to_owned(),
                (FileWhy::Unwritable, false) => {
                    "Stopped: your browser can’t write it. Is there room for it?".to_owned()
                }
                (FileWhy::Left, _) => format!("Stopped: {name} is gone."),
                (FileWhy::NoWay, _) => {
                    "No direct way was found. Each of you needs one open page, and a network that \
                     lets them meet."
                        .to_owned()
                }
                (FileWhy::Unanswered, _) => "Nobody answered.".to_owned(),
                (FileWhy::TooMuch, _) => "Too large, or too many at once.".to_owned(),
            },
        }
    },
    accepting_connects: "Accepting connects your two browsers; each then knows the other’s network address.",
    file_too_big: |limit| format!("This browser takes no more than {limit}."),
    time_left: |seconds| match seconds {
        0..60 => format!("{} s left", seconds.max(1)),
        60..3_600 => format!("{} min left", seconds.div_ceil(60)),
        _ => format!("{} h left", seconds.div_ceil(3_600)),
    },
    accept: "Accept",
    decline: "Decline",
    cancel: "Cancel",
    dismiss: "Dismiss",
    sending: "Sending…",
    not_sent: "Not sent",
    unknown: "No answer yet. It may or may not have arrived; sending it again is safe.",
    copy: "Copy",
    retry: "Send again",
    discard: "Discard",
    gap: "Messages may be missing here.",
    new_messages: |count| match count {
        1 => "1 new message".to_owned(),
        _ => format!("{count} new messages"),
    },
    offline: "You are offline. What you write is sent once you are back.",
    retrying: "Connection lost. Trying to reconnect…",
    retrying_in: |seconds| format!("Connection lost. Next try in {seconds} s"),
    retry_now: "Try now",
    static_page: "Without JavaScript this page does not update by itself; reload to see what is new.",
    stopped_working: "The page stopped working. What you wrote is kept.",
    access_over: "Your access has ended. To come back, open a new link.",
    read_only: "You can read here, but not write.",
    locked: "By invitation only",
    locked_text: "To come in, open the link that you were given. If you did, it may have expired: ask for a new one.",
    token: "Token",
    token_is_no_good: "This token is not good here, or has expired.",
    come_in: "Come in",
    inspector: "Inspector",
    open_inspector: "Inspect the connection",
    close: "Close",
    from_programs: "Use this room from your program",
    transport: "Transport",
    automatic: "Automatic",
    transport_name: |transport| match transport {
        Transport::WebSocket => "WebSocket",
        Transport::Events => "Server-Sent Events",
        Transport::LongPoll => "Long polling",
        Transport::Poll => "Polling",
    },
    ready_state: "readyState",
    bytes_in: "bytes in",
    bytes_out: "bytes out",
    events: "Events",
    no_events: "No events yet.",
    dropped_events: |count| format!("{count} older events are not shown"),
    clear: "Clear",
    filter: "Filter",
    pause: "Pause",
    export: "Save as NDJSON",
    error_event: "the browser tells no reason, by design; a close event follows",
    no_answer: |method| format!("a {} was not answered", method.name()),
    bad_answer: |status| format!("a poll was answered {status}"),
    close_code: |code| match code {
        1000 => "normal",
        1002 => "protocol error",
        1001 => "going away",
        1005 => "no code given",
        1006 => "connection lost, or refused",
        1007 => "not UTF-8",
        1009 => "frame too big",
        1011 => "server error",
        1012 => "server restarts",
        4001 => "position lost",
        4003 => "token expired",
        4004 => "no right to read, or closed",
        4005 => "put out",
        1013 => "try again later",
        _ => "",
    },
    refusal: |refusal| {
        let limit = refusal.limit.unwrap_or_default();
        match (refusal.code, refusal.field.as_deref()) {
            (ErrorCode::TooLong, Some("q")) => {
                format!("That is too much to search for: at most {limit}.")
            }
            (ErrorCode::TooLong, Some("value")) => {
                format!("The message is too long: at most {limit} bytes.")
            }
            (ErrorCode::TooLong, _) => format!("The name is too long: at most {limit} characters."),
            (ErrorCode::InvalidField, Some("value")) if refusal.limit.is_some() => {
                format!("The message is nested too deeply: at most {limit} levels.")
            }
            (ErrorCode::InvalidField, Some("value")) => {
                "A message can't be empty, or have characters that can't be shown.".to_owned()
            }
            (ErrorCode::InvalidField, Some("name" | "room")) => {
                "A name needs at least one character, no slash, and nothing that does not show."
                    .to_owned()
            }
            (ErrorCode::RateLimited, _) => {
                "That was too much at once. Wait a moment and send it again.".to_owned()
            }
            (ErrorCode::IdTaken, _) => {
                "Somebody else has used the number of this message. Copy it and send it anew."
                    .to_owned()
            }
            (ErrorCode::NotFound, Some("of")) => "The message is not here any more.".to_owned(),
            (ErrorCode::NotYours, _) => "Somebody else said that.".to_owned(),
            (ErrorCode::Forbidden, _) => "You may not do that here.".to_owned(),
            (ErrorCode::PutOut, _) => "You were put out of this room for a while.".to_owned(),
            (ErrorCode::Declined, _) => format!("This was not taken: {}", refusal.message),
            (ErrorCode::SlowMode, _) => {
                let seconds = limit.div_ceil(1_000);
                format!("This room is slow: it is your turn again in {seconds} s.")
            }
            (ErrorCode::InvalidToken, _) => {
                "Your access has ended. To come back, open a new link.".to_owned()
            }
            (ErrorCode::TooSlow, _) => "It took too long to arrive. Send it again.".to_owned(),
            (ErrorCode::TooManyConnections, _) => {
                "There are too many connections. Try again in a while.".to_owned()
            }
            (ErrorCode::TooManyRooms, _) => "There are too many rooms already.".to_owned(),
            (ErrorCode::Unavailable, _) => {
                "The server can't keep messages now. Send it again later.".to_owned()
            }
            _ => format!("That did not work: {}", refusal.message),
        }
    },
};

const KO: Strings = Strings {
    lab: &lab::KO,
    admin: &admin::KO,
    tagline: "이름만 정하면 바로 대화할 수 있어요.",
    rooms: "방 목록",
    no_rooms: "아직 열린 방이 없습니다. 첫 방을 열어 보세요.",
    open_room: "방 열기",
    room_name: "방 이름",
    open: "열기",
    lobby_hint: "또는 바로 로비로 가기",
    people: |count| match count {
        0 => "아무도 없음".to_owned(),
        _ => format!("{count}명 접속 중"),
    },
    last_message: "마지막 메시지",
    quiet: "아직 조용함",
    not_found: "여기에는 아무것도 없습니다",
    not_found_text: "주소가 잘못되었을 수 있습니다. 방 이름은 1~64자이며 슬래시(/)를 쓸 수 없습니다.",
    home: "모든 방",
    switch_language: "View in English",
    theme: |theme| match theme {
        Theme::System => "화면: 시스템 설정대로",
        Theme::Light => "화면: 밝게",
        Theme::Dark => "화면: 어둡게",
    },
    your_name: "내 이름",
    first_name: "뭐라고 부를까요?",
    take_name: "이 이름으로",
    or_stay: |name| format!("그냥 써도 됩니다. 정하기 전에는 {name}(으)로 보입니다."),
    save: "저장",
    more: "메뉴",
    share: "공유…",
    sound_too: "소리도 내기",
    notify_me: "다른 곳을 보는 동안 누가 나를 부르거나 나에게만 쓰면 알림 받기",
    notify_denied: "브라우저가 알림을 막고 있습니다.",
    change_name: "이름 바꾸기",
    messages: "메시지",
    day: |year, month, day, weekday| {
        let weekday = "일월화수목금토".chars().nth(weekday).unwrap_or_default();
        format!("{year}년 {month}월 {day}일 {weekday}요일")
    },
    older_messages: "이전 메시지",
    search: "검색",
    search_in_room: "이 방에서 검색",
    nothing_found: "찾은 메시지가 없습니다.",
    nothing_found_yet: "찾아본 메시지 10,000개 안에는 없습니다.",
    search_on: "더 오래된 메시지 검색",
    back_to_room: "방으로 돌아가기",
    message_missing: "그 메시지는 이제 없거나, 다른 사람에게 보낸 것입니다.",
    new_since: "새 메시지",
    message_tools: "이 메시지로 할 일",
    react_with: |emoji| format!("{emoji} 반응하기"),
    reactions: "반응",
    reacted: |emoji, count, names| format!("{emoji} {count}명: {names}"),
    edit_message: "수정",
    take_back: "삭제",
    take_back_sure: "정말요? 모두에게서 사라집니다",
    edited: "수정됨",
    editing: "보낸 메시지를 수정하는 중입니다. Esc를 누르면 그대로 둡니다.",
    copy_link: "링크 복사",
    link_copied: "링크를 복사했습니다.",
    to_newest: "최신 메시지로",
    invite_people: "사람 초대하기",
    invite_programs: "프로그램 연결하기",
    invite_programs_text: "한 줄이면 여기에 말할 수 있습니다. 다른 방법은 위의 </>에 있습니다.",
    qr: "이 방의 주소가 담긴 QR 코드",
    copied: "복사했습니다.",
    fresh_room: "새 방 열기",
    recent_rooms: "최근에 들른 방",
    empty_room: "아직 아무 말도 없습니다. 먼저 인사해 보세요!",
    write_here: "메시지 입력",
    message: "메시지",
    send: "보내기",
    keys_hint: "Enter로 보내고, Shift+Enter로 줄을 바꿉니다",
    help: "단축키",
    keys: &[
        ("Enter", "보내기"),
        ("Shift Enter", "줄 바꾸기"),
        ("↑", "입력란이 비었을 때: 마지막으로 보낸 메시지 수정"),
        ("@", "여기 있는 사람 부르기"),
        ("Esc", "수정이나 받는 사람 선택을 그만두기, 대화에서 입력란으로 돌아가기"),
        ("Enter ↑ ↓", "대화에 초점이 있을 때: 메시지 사이를 옮겨 다니고 할 일 열기"),
        ("End", "최신 메시지로"),
        ("/", "이 방에서 검색"),
        ("?", "이 목록"),
    ],
    here: "접속 중",
    you: "나",
    away: "자리 비움",
    and_more: |count| format!("외 {count}명"),
    typing: |names| match names {
        [] => String::new(),
        [one] => format!("{one} 님이 입력 중…"),
        [one, two] => format!("{one}, {two} 님이 입력 중…"),
        _ => format!("{}명이 입력 중…", names.len()),
    },
    mention: "이름 부르기",
    length: |now, most| match most.checked_sub(now) {
        Some(left) => format!("{left}바이트 남음"),
        None => format!("{}바이트 초과", now - most),
    },
    for_whom: "받는 사람",
    for_all: "모두에게",
    for_others: "나를 뺀 모두에게",
    for_me: "나에게만",
    to_others: "다른 사람들에게",
    to_self: "나에게만",
    to_some: "일부 사람에게만",
    to_you: "나에게만",
    to_one: |name| format!("{name} 님에게만"),
    to_you_and: |names| format!("나와 {names} 님에게만"),
    write_to_one: |name| format!("{name} 님에게만 쓰기"),
    write_to_all: "다시 모두에게 쓰기",
    road: |road| match road {
        Road::Hub => "서버를 거쳐 가고, 서버에 남아요",
        Road::Trying => "직접 가는 길을 찾는 중이에요. 그동안은 서버를 거쳐 가고, 서버에 남아요",
        Road::Direct => {
            "브라우저에서 브라우저로 바로 가요. 닿지 않을 때만 서버를 거쳐 가고, 그러면 서버에 남아요"
        }
        Road::Relayed => {
            "서버를 거쳐 가고, 서버에 남아요. 상대도 나를 고르고 길이 있으면 바로 가요"
        }
    },
    went_directly: "직접",
    went_directly_text: "브라우저에서 브라우저로 바로 갔고, 서버에는 없어요",
    went_by_server: "서버 경유",
    went_by_server_text: "서버를 거쳐 갔고, 서버에 남아 있어요",
    call: "통화",
    start_call: "통화 시작",
    join_call: "통화 참여",
    leave_call: "나가기",
    in_call: "통화 중인 사람",
    are_in_call: |names| match names {
        [one] => format!("{one} 님이 통화 중이에요."),
        [one, two] => format!("{one} 님과 {two} 님이 통화 중이에요."),
        _ => format!("{}명이 통화 중이에요.", names.len()),
    },
    call_full: "통화가 꽉 찼어요. 여섯 명까지 참여할 수 있어요.",
    asking: |source| match source {
        Source::Microphone => {
            "브라우저가 이 페이지에 마이크를 허용할지 묻고 있어요. 통화는 브라우저끼리 바로 연결되어, 서로의 네트워크 주소를 알게 돼요."
        }
        Source::Camera => "브라우저가 이 페이지에 카메라를 허용할지 묻고 있어요.",
        Source::Screen => "브라우저가 화면의 무엇을 보일지 묻고 있어요.",
    },
    denied: |source, why| {
        let (what, what_is) = match source {
            Source::Microphone => ("마이크를", "마이크가"),
            Source::Camera => ("카메라를", "카메라가"),
            Source::Screen => ("화면을", "화면이"),
        };
        match why {
            Denied::Insecure => {
                format!("브라우저는 https로 열었거나 이 컴퓨터에서 연 페이지에만 {what} 허용해요.")
            }
            Denied::Refused => {
                format!(
                    "브라우저가 이 페이지에 {what} 허용하지 않아요. 주소창 옆에서 허용한 뒤 다시 시도하세요."
                )
            }
            Denied::Absent => format!("{what_is} 없어요."),
            Denied::InUse => format!("{what} 열 수 없어요. 다른 프로그램이 쓰고 있을 수 있어요."),
            Denied::Alone => {
                "이 브라우저는 다른 브라우저와 이어질 수 없어서(WebRTC) 통화할 수 없어요."
                    .to_owned()
            }
            Denied::Unknown => format!("{what} 열 수 없어요."),
        }
    },
    only_listen: "마이크 없이 참여",
    mute: "마이크 끄기",
    unmute: "마이크 켜기",
    muted: "마이크 꺼짐",
    speaks: "말하는 중",
    camera_on: "카메라 켜기",
    camera_off: "카메라 끄기",
    share_screen: "화면 공유",
    stop_sharing: "공유 중지",
    screen_of: |name| format!("{name}님의 화면"),
    devices: "장치",
    source: |source| match source {
        Source::Microphone => "마이크",
        Source::Camera => "카메라",
        Source::Screen => "화면",
    },
    connecting: "연결하는 중…",
    no_way_to_them: "직접 가는 길이 없어요.",
    files: "파일",
    send_file: "파일 보내기",
    file_to: |name| format!("{name}님에게"),
    file_from: |name| format!("{name}님이 보냄"),
    file_stage: |file| {
        let name = &file.member.name;
        match (file.stage, file.outgoing) {
            (Stage::Offered, true) => format!("{name}님의 답을 기다리고 있어요."),
            (Stage::Offered, false) => format!("{name}님이 이 파일을 보내려고 해요."),
            (Stage::Waiting, _) => "직접 가는 길이나 차례를 기다리고 있어요.".to_owned(),
            (Stage::Flowing, true) => "내 브라우저에서 상대 브라우저로 가는 중이에요.".to_owned(),
            (Stage::Flowing, false) => "상대 브라우저에서 내 브라우저로 오는 중이에요.".to_owned(),
            (Stage::Done, true) => "온전히 도착했어요. 체크섬이 맞아요.".to_owned(),
            (Stage::Done, false) => "온전히 저장했어요. 체크섬이 맞아요.".to_owned(),
            (Stage::Ended(why), outgoing) => match (why, outgoing) {
                (FileWhy::Declined, true) => format!("{name}님이 거절했어요."),
                (FileWhy::Declined, false) => "거절했어요.".to_owned(),
                (FileWhy::Cancelled, _) => "취소했어요.".to_owned(),
                (FileWhy::Broken, _) => "멈췄어요. 보낸 것과 다르게 왔어요.".to_owned(),
                (FileWhy::Unreadable, true) => {
                    "멈췄어요. 내 브라우저가 파일을 더 읽을 수 없어요.".to_owned()
                }
                (FileWhy::Unreadable, false) => {
                    "멈췄어요. 상대 브라우저가 파일을 더 읽을 수 없어요.".to_owned()
                }
                (FileWhy::Unwritable, true) => {
                    "멈췄어요. 상대 브라우저가 파일을 쓸 수 없어요.".to_owned()
                }
                (FileWhy::Unwritable, false) => {
                    "멈췄어요. 내 브라우저가 파일을 쓸 수 없어요. 공간이 있는지 보세요.".to_owned()
                }
                (FileWhy::Left, _) => format!("멈췄어요. {name}님이 나갔어요."),
                (FileWhy::NoWay, _) => {
                    "직접 가는 길이 없어요. 서로 페이지를 하나씩만 열고, 서로 닿는 네트워크에 있어야 \
                     해요."
                        .to_owned()
                }
                (FileWhy::Unanswered, _) => "아무도 답하지 않았어요.".to_owned(),
                (FileWhy::TooMuch, _) => "너무 크거나, 한꺼번에 너무 많아요.".to_owned(),
            },
        }
    },
    accepting_connects: "받으면 두 브라우저가 서로 연결되고, 서로의 네트워크 주소를 알게 돼요.",
    file_too_big: |limit| format!("이 브라우저는 {limit}까지만 받을 수 있어요."),
    time_left: |seconds| match seconds {
        0..60 => format!("{}초 남음", seconds.max(1)),
        60..3_600 => format!("{}분 남음", seconds.div_ceil(60)),
        _ => format!("{}시간 남음", seconds.div_ceil(3_600)),
    },
    accept: "받기",
    decline: "거절",
    cancel: "취소",
    dismiss: "지우기",
    sending: "보내는 중…",
    not_sent: "전송 실패",
    unknown: "아직 답이 없습니다. 도착했는지 알 수 없으며, 다시 보내도 두 번 나오지 않습니다.",
    copy: "복사",
    retry: "다시 보내기",
    discard: "버리기",
    gap: "여기에 빠진 메시지가 있을 수 있습니다.",
    new_messages: |count| format!("새 메시지 {count}개"),
    offline: "오프라인입니다. 지금 쓴 메시지는 다시 연결되면 보냅니다.",
    retrying: "연결이 끊겼습니다. 다시 연결하는 중…",
    retrying_in: |seconds| format!("연결이 끊겼습니다. {seconds}초 뒤 다시 시도"),
    retry_now: "지금 시도",
    static_page: "JavaScript가 꺼져 있어 저절로 갱신되지 않습니다. 새로 고치면 새 메시지가 보입니다.",
    stopped_working: "페이지가 멈췄습니다. 쓰던 글은 보관되어 있습니다.",
    access_over: "이용 기간이 끝났습니다. 새 링크로 다시 들어오세요.",
    read_only: "이 방에서는 읽기만 할 수 있습니다.",
    locked: "초대받은 사람만 들어올 수 있습니다",
    locked_text: "받은 링크를 열면 들어올 수 있습니다. 이미 열었다면 만료되었을 수 있으니 새 링크를 요청하세요.",
    token: "토큰",
    token_is_no_good: "이 토큰은 여기서 쓸 수 없거나 만료되었습니다.",
    come_in: "들어가기",
    inspector: "연결 검사기",
    open_inspector: "연결 살펴보기",
    close: "닫기",
    from_programs: "내 프로그램에서 이 방 쓰기",
    transport: "전송 방식",
    automatic: "자동",
    transport_name: |transport| match transport {
        Transport::WebSocket => "웹소켓",
        Transport::Events => "Server-Sent Events",
        Transport::LongPoll => "롱 폴링",
        Transport::Poll => "폴링",
    },
    ready_state: "readyState",
    bytes_in: "받은 바이트",
    bytes_out: "보낸 바이트",
    events: "이벤트",
    no_events: "아직 이벤트가 없습니다.",
    dropped_events: |count| format!("이전 이벤트 {count}개는 표시하지 않음"),
    clear: "지우기",
    filter: "거르기",
    pause: "멈춤",
    export: "NDJSON으로 저장",
    error_event: "브라우저는 설계상 이유를 알려 주지 않으며, 곧 close 이벤트가 따라옵니다",
    no_answer: |method| format!("{} 요청에 답이 없음", method.name()),
    bad_answer: |status| format!("폴링 요청의 답이 {status}"),
    close_code: |code| match code {
        1000 => "정상 종료",
        1002 => "프로토콜 오류",
        1001 => "떠나는 중",
        1005 => "코드 없음",
        1006 => "연결이 끊기거나 거부됨",
        1007 => "UTF-8이 아님",
        1009 => "프레임이 너무 큼",
        1011 => "서버 오류",
        1012 => "서버 재시작",
        4001 => "위치를 잃음",
        4003 => "토큰 만료",
        4004 => "읽을 권한이 없거나 닫힌 방",
        4005 => "내보내짐",
        1013 => "나중에 다시 시도",
        _ => "",
    },
    refusal: |refusal| {
        let limit = refusal.limit.unwrap_or_default();
        match (refusal.code, refusal.field.as_deref()) {
            (ErrorCode::TooLong, Some("q")) => {
                format!("검색어가 너무 깁니다. 최대 {limit}까지입니다.")
            }
            (ErrorCode::TooLong, Some("value")) => {
                format!("메시지가 너무 깁니다. 최대 {limit}바이트입니다.")
            }
            (ErrorCode::TooLong, _) => format!("이름이 너무 깁니다. 최대 {limit}자입니다."),
            (ErrorCode::InvalidField, Some("value")) if refusal.limit.is_some() => {
                format!("메시지가 너무 깊게 중첩되었습니다. 최대 {limit}단계입니다.")
            }
            (ErrorCode::InvalidField, Some("value")) => {
                "메시지는 비어 있거나 표시할 수 없는 문자가 있으면 안 됩니다.".to_owned()
            }
            (ErrorCode::InvalidField, Some("name" | "room")) => {
                "이름은 한 글자 이상이어야 하고, 슬래시나 보이지 않는 문자는 쓸 수 없습니다."
                    .to_owned()
            }
            (ErrorCode::RateLimited, _) => {
                "한꺼번에 너무 많이 보냈습니다. 잠시 뒤 다시 보내세요.".to_owned()
            }
            (ErrorCode::IdTaken, _) => {
                "다른 사람이 이 메시지의 번호를 이미 썼습니다. 복사해서 새로 보내세요.".to_owned()
            }
            (ErrorCode::NotFound, Some("of")) => "그 메시지는 이제 없습니다.".to_owned(),
            (ErrorCode::NotYours, _) => "다른 사람이 한 말입니다.".to_owned(),
            (ErrorCode::Forbidden, _) => "이 방에서는 그렇게 할 수 없습니다.".to_owned(),
            (ErrorCode::PutOut, _) => "당분간 이 방에 들어올 수 없습니다.".to_owned(),
            (ErrorCode::Declined, _) => format!("받아들여지지 않았습니다: {}", refusal.message),
            (ErrorCode::SlowMode, _) => {
                let seconds = limit.div_ceil(1_000);
                format!("천천히 대화하는 방입니다. {seconds}초 뒤에 다시 쓸 수 있습니다.")
            }
            (ErrorCode::InvalidToken, _) => {
                "이용 기간이 끝났습니다. 새 링크로 다시 들어오세요.".to_owned()
            }
            (ErrorCode::TooSlow, _) => {
                "도착하는 데 너무 오래 걸렸습니다. 다시 보내세요.".to_owned()
            }
            (ErrorCode::TooManyConnections, _) => {
                "연결이 너무 많습니다. 잠시 뒤 다시 시도하세요.".to_owned()
            }
            (ErrorCode::TooManyRooms, _) => "방이 이미 너무 많습니다.".to_owned(),
            (ErrorCode::Unavailable, _) => {
                "서버가 지금은 메시지를 보관할 수 없습니다. 나중에 다시 보내 주세요.".to_owned()
            }
            _ => format!("처리하지 못했습니다: {}", refusal.message),
        }
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_the_browser_likes_best() {
        for (header, lang) in [
            ("ko-KR,ko;q=0.9,en;q=0.8", Lang::Ko),
            ("en-US,en;q=0.9,ko;q=0.8", Lang::En),
            ("de,ko;q=0.5", Lang::Ko),
            ("en;q=0.1, ko;q=0.2", Lang::Ko),
            ("ko;q=0, en", Lang::En),
            ("fr", Lang::En),
            ("", Lang::En),
            (";;;,q=,", Lang::En),
        ] {
            assert_eq!(Lang::negotiate(header), lang, "{header}");
        }
    }
}
