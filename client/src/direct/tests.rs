//! What a page that is no page of ours can make another one do.

use common::MemberName;

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
