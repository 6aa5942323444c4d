//! Names for new rooms, and for whoever has picked none, that people can read, say and remember.

use common::{MemberId, MemberName, RoomName};

use crate::lang::Lang;

const WHICH_EN: [&str; 16] = [
    "amber", "brave", "calm", "clear", "gentle", "golden", "happy", "little", "lucky", "merry",
    "quiet", "silver", "sunny", "swift", "warm", "wild",
];
const WHAT_EN: [&str; 24] = [
    "badger", "beaver", "cedar", "comet", "falcon", "fern", "fox", "harbor", "heron", "island",
    "kite", "lantern", "maple", "meadow", "moon", "otter", "owl", "pebble", "pine", "river",
    "robin", "sparrow", "tulip", "whale",
];
const WHICH_KO: [&str; 16] = [
    "고요한",
    "기쁜",
    "날랜",
    "다정한",
    "따뜻한",
    "맑은",
    "반짝이는",
    "빛나는",
    "새로운",
    "용감한",
    "작은",
    "조용한",
    "즐거운",
    "푸른",
    "하얀",
    "포근한",
];
const WHAT_KO: [&str; 24] = [
    "강물",
    "고래",
    "고양이",
    "나무",
    "노을",
    "다람쥐",
    "단풍",
    "달빛",
    "두루미",
    "등대",
    "바다",
    "별빛",
    "부엉이",
    "사슴",
    "산책",
    "새벽",
    "소나무",
    "수달",
    "여우",
    "연못",
    "오솔길",
    "이슬",
    "조약돌",
    "토끼",
];

/// One of some hundred thousand, picked by a random number.
pub fn fresh_name(lang: Lang, random: u128) -> RoomName {
    let (which, what) = match lang {
        Lang::Ko => (WHICH_KO, WHAT_KO),
        Lang::En => (WHICH_EN, WHAT_EN),
    };
    let pick = |count: usize, shift: u32| ((random >> shift) % count as u128) as usize;
    let (which, what) = (which[pick(which.len(), 0)], what[pick(what.len(), 32)]);
    let number = pick(900, 64) + 100;
    RoomName::parse(&format!("{which}-{what}-{number}")).expect("it is neither empty nor long")
}

/// How the name of somebody begins who has picked none.
pub const GUEST: &str = "guest-";

/// The name of somebody who has picked none: always the same for one id, and seldom that of another.
pub fn guest_name(id: &MemberId) -> MemberName {
    let mixed = id
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |mixed, byte| (mixed ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let what = WHAT_EN[mixed as usize % WHAT_EN.len()];
    let number = mixed as usize / WHAT_EN.len() % 900 + 100;
    MemberName::parse(&format!("{GUEST}{what}-{number}")).expect("letters and digits are a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_keeps_one_name_and_hardly_any_other_has_it() {
        let name = |n: u128| {
            let id = n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            guest_name(&MemberId::parse(&format!("{id:032x}")).unwrap()).to_string()
        };
        assert_eq!(name(1), name(1));
        assert!(name(1).starts_with(GUEST), "{}", name(1));
        let mut many: Vec<_> = (0..500).map(name).collect();
        many.sort();
        many.dedup();
        assert!(many.len() > 480, "{}", many.len());
    }

    #[test]
    fn they_can_be_read_and_hardly_ever_meet() {
        let name = |lang, random| fresh_name(lang, random).to_string();
        assert_eq!(name(Lang::En, 0), "amber-badger-100");
        assert_eq!(name(Lang::Ko, u128::MAX), "포근한-새벽-115");
        let mut many: Vec<_> = (0..1_000_u128)
            .map(|n| name(Lang::En, n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060)))
            .collect();
        many.sort();
        many.dedup();
        assert!(many.len() > 950, "{}", many.len());
    }
}
