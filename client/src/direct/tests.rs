//! What a page that is no page of ours can make another one do.

use common::MemberName;
use serde_json::json;

use super::*;

fn member() -> Member {
    Member { id: MemberId::parse("b").unwrap(), name: MemberName::parse("Bob").unwrap() }
}

fn session() -> SessionId {
    SessionId::parse("b").unwrap()
}

/// One that is reached as `a`.
fn direct() -> Direct {
    let mut direct = Direct::default();
    direct.be("a", 0);
    direct
}

/// One that wants a connection; which one.
fn connecting() -> (Direct, LinkId) {
    let mut direct = direct();
    direct.want(&session(), &member(), 0);
    let link = direct.take().into_iter().find_map(|out| match out {
        Out::Link(link, LinkEffect::Connect) => Some(link),
        _ => None,
    });
    (direct, link.unwrap())
}

fn closes(direct: &mut Direct, link: LinkId) -> bool {
    direct.take().contains(&Out::Link(link, LinkEffect::Close))
}

#[test]
fn bytes_of_no_file_are_too_much_in_the_end() {
    let (mut direct, link) = connecting();
    for _ in 0..FLOOD {
        direct.happened(link, LinkEvent::Bytes(vec![1]), 1);
    }
    assert!(!closes(&mut direct, link));
    direct.happened(link, LinkEvent::Bytes(vec![1]), 1);
    assert!(closes(&mut direct, link));
}

#[test]
fn whoever_asks_about_files_that_are_not_there_is_not_answered_each_time() {
    let mut direct = direct();
    for second in 0..2 {
        for n in 0..100 {
            let data =
                json!({"file": {"type": "accept", "params": {"id": format!("f{n}"), "from": 0}}});
            let signalling = Signalling { from: member(), session: session(), data };
            direct.signalled(signalling, 5_000 + second * 1_000);
        }
        let answers = direct.take().into_iter().filter(|out| matches!(out, Out::Signal(..)));
        assert_eq!(answers.count(), ANSWERED as usize);
    }
}

/// In a call with somebody to whom there is no way.
fn without_a_way() -> (Direct, HashMap<SessionId, Member>, Millis) {
    let (mut direct, with) = (direct(), HashMap::from([(session(), member())]));
    direct.call(Some(&with), None, 0);
    let mut now = 0;
    while direct.road(&session()) != Road::Relayed {
        now += 1_000;
        direct.tick(now);
        assert!(now < 120_000, "{:?}", direct.road(&session()));
    }
    direct.take();
    (direct, with, now)
}

#[test]
fn one_in_the_call_is_not_forgotten_while_another_page_of_theirs_is_loaded() {
    let (mut direct, _, now) = without_a_way();
    // Who has a page that can't be reached is not listed among those who can.
    direct.keep(|_| false, |_| None, now);
    assert_eq!(direct.called(&session()).1, Road::Relayed);
}

#[test]
fn a_call_that_is_joined_again_is_tried_again() {
    let (mut direct, with, now) = without_a_way();
    direct.call(None, Some(&session()), now);
    direct.call(Some(&with), Some(&session()), now + 1_000);
    direct.tick(now + 1_000);
    assert!(direct.take().iter().any(|out| matches!(out, Out::Link(_, LinkEffect::Connect))));
}

#[test]
fn whoever_has_left_the_call_has_no_connection_for_it() {
    let with = HashMap::from([(session(), member())]);
    for page in [None, Some(session())] {
        let (mut direct, link) = connecting();
        direct.call(Some(&with), page.as_ref(), 0);
        direct.call(None, page.as_ref(), 0);
        // But with whom I write directly.
        assert_eq!(closes(&mut direct, link), page.is_none());
    }
}

#[test]
fn with_one_who_has_left_the_call_no_other_connection_is_made() {
    let with = HashMap::from([(session(), member())]);
    let (mut direct, link) = connecting();
    direct.call(Some(&with), None, 0);
    // It stays, for the server may have forgotten who is in the call; but lost it is lost.
    direct.call(Some(&HashMap::new()), None, 0);
    assert!(!closes(&mut direct, link));
    direct.happened(link, LinkEvent::Closed, 1);
    assert!(closes(&mut direct, link));
    direct.tick(60_000);
    let offer = json!({"life": 1, "attempt": 9, "description": {"number": 1, "sdp": ""}});
    direct.signalled(Signalling { from: member(), session: session(), data: offer }, 60_000);
    let connects = |out: &Out| matches!(out, Out::Link(_, LinkEffect::Connect));
    assert!(!direct.take().iter().any(connects));
}
