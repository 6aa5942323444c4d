//! The texts of the lab, in Korean and English.

use lab::{Clamped, Echo, Failed, Figures, Plan, Road, Verdict, What};

use client::Transport::{Events, LongPoll, Poll, WebSocket};

/// The texts of one language.
pub(crate) struct LabStrings {
    pub(crate) title: &'static str,
    /// On the way to it.
    pub(crate) hint: &'static str,
    pub(crate) lead: &'static str,
    /// Where it is a recorded run that is shown: when, and in what.
    pub(crate) recorded: fn(&str, &str) -> String,
    pub(crate) no_script: &'static str,
    pub(crate) roads: &'static str,
    pub(crate) road: fn(Road) -> &'static str,
    pub(crate) count: &'static str,
    pub(crate) size: &'static str,
    pub(crate) rate: &'static str,
    pub(crate) poll: &'static str,
    pub(crate) seed: &'static str,
    pub(crate) together: &'static str,
    pub(crate) weather: &'static str,
    pub(crate) weather_text: &'static str,
    pub(crate) latency: &'static str,
    pub(crate) loss: &'static str,
    pub(crate) blocked: &'static str,
    pub(crate) start: &'static str,
    pub(crate) stop: &'static str,
    pub(crate) stopped: &'static str,
    pub(crate) running: fn(&str) -> String,
    pub(crate) over: &'static str,
    pub(crate) clamped: fn(&Clamped) -> String,
    pub(crate) no_road: &'static str,
    pub(crate) other_device: &'static str,
    pub(crate) other_device_text: &'static str,
    pub(crate) other_device_here: &'static str,
    pub(crate) answer: &'static str,
    pub(crate) answering: &'static str,
    pub(crate) results: &'static str,
    pub(crate) columns: [&'static str; 12],
    pub(crate) late_text: &'static str,
    pub(crate) wire_text: &'static str,
    pub(crate) longest: &'static str,
    pub(crate) failed: fn(Failed) -> &'static str,
    pub(crate) carried: fn(&str) -> String,
    pub(crate) echo: fn(Echo) -> &'static str,
    pub(crate) disturbed: &'static str,
    pub(crate) together_text: &'static str,
    pub(crate) order: fn(&str) -> String,
    pub(crate) ecdf_title: &'static str,
    pub(crate) ecdf_finding: fn(&[(&str, f64)]) -> String,
    pub(crate) ecdf_axis: &'static str,
    pub(crate) time_title: &'static str,
    pub(crate) time_finding: fn(u32) -> String,
    pub(crate) time_axis: &'static str,
    pub(crate) bytes_title: &'static str,
    pub(crate) bytes_finding: fn(&[(&str, f64)], f64) -> String,
    pub(crate) bytes_parts: (&'static str, &'static str),
    pub(crate) how_title: &'static str,
    pub(crate) how: fn(Road) -> &'static str,
    pub(crate) cost_title: &'static str,
    pub(crate) cost: fn(&Figures) -> String,
    pub(crate) when_title: &'static str,
    pub(crate) when: fn(Road) -> &'static str,
    pub(crate) verdict: fn(Verdict, &Figures, &Plan) -> String,
    pub(crate) not_measured: &'static str,
    pub(crate) diagram: fn(&str) -> String,
    pub(crate) lanes: fn(Road) -> [&'static str; 2],
    pub(crate) step: fn(What) -> &'static str,
    pub(crate) empty_steps: fn(usize) -> String,
    pub(crate) json: &'static str,
    pub(crate) csv: &'static str,
    pub(crate) repeat: &'static str,
}

/// Milliseconds, with as many digits as say something.
pub(crate) fn ms(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2} ms"),
        10.0..100.0 => format!("{value:.1} ms"),
        _ => format!("{} ms", grouped(value.round() as u64)),
    }
}

/// A number with a comma before each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

fn bytes(value: f64) -> String {
    format!("{} B", grouped(value.max(0.0).round() as u64))
}

fn list(of: &[(&str, f64)], show: fn(f64) -> String) -> String {
    of.iter().map(|(name, value)| format!("{name} {}", show(*value))).collect::<Vec<_>>().join(", ")
}

pub(crate) const EN: LabStrings = LabStrings {
    title: "Lab",
    hint: "Lab: five ways to talk in real time, measured on your network",
    lead: "Five ways for a page to talk with others in real time, raced over your own network: the same messages, there and back.",
    recorded: |at, by| {
        format!(
            "This is a recorded run, of {at}, in a browser on the server’s own machine ({by}). Start one to see the figures of your own network."
        )
    },
    no_script: "Measuring needs JavaScript; without it, this page shows a recorded run.",
    roads: "Roads",
    road: |road| match road {
        Road::Over(Poll) => "Polling",
        Road::Over(LongPoll) => "Long polling",
        Road::Over(Events) => "Server-Sent Events",
        Road::Over(WebSocket) => "WebSocket",
        Road::Direct => "WebRTC",
    },
    count: "Messages on each road",
    size: "Bytes in each",
    rate: "Messages a second",
    poll: "Pause between two polls, ms",
    seed: "Seed of order and weather",
    together: "All roads at once: they share the line, and slow each other down",
    weather: "Make the network worse",
    weather_text: "Only the lab’s own connections are touched. Loss is modelled: what is lost is sent again after 200 ms, then 400 and so on, and all behind it waits, as in TCP.",
    latency: "Added latency there and back, ms",
    loss: "Lost, of a hundred",
    blocked: "Blocked",
    start: "Start",
    stop: "Stop",
    stopped: "Stopped. All connections are closed.",
    running: |road| format!("Running: {road}"),
    over: "All roads are done.",
    clamped: |c| format!("“{}” can’t be “{}”; it is “{}” here.", c.name, c.wanted, c.taken),
    no_road: "Choose a road to race.",
    other_device: "Race WebRTC with another device",
    other_device_text: "WebRTC needs somebody at the other end. Without another device this page answers itself, and there is no network between.",
    other_device_here: "Open this address on the other device and let it answer there; then start here. The two devices are connected directly, and so get to know each other’s addresses.",
    answer: "Answer here",
    answering: "What the other device sends is sent back, as long as this page is open.",
    results: "Results",
    columns: [
        "Road",
        "Sent",
        "Lost",
        "Twice",
        "p50",
        "p95",
        "p99",
        "Late",
        "Requests a message",
        "Bytes up",
        "Bytes down",
        "Overhead a message",
    ],
    late_text: "Times run from when a message was due, not from when it could be sent. “Late” is by how much the page itself was late (95 of 100). The first twentieth of each road only warms up and does not count.",
    wire_text: "Bytes are counted at the hub’s sockets, with all headers, below TLS: browsers don’t tell them (no API sees a WebSocket, or what a request sends). For WebRTC they are the browser’s own count plus 28 bytes of IP and UDP for each packet: an estimate. Requests are packets there.",
    longest: "max",
    failed: |failed| match failed {
        Failed::NotOpened => "It did not open.",
        Failed::NoWay => "No way from one browser to the other was found.",
        Failed::Missing => "This browser has no WebRTC.",
        Failed::Stopped => "Stopped before the end.",
    },
    carried: |road| format!("It was blocked; the client found a way by itself: {road}."),
    echo: |echo| match echo {
        Echo::SamePage => "Sent back by a second session of this page: no network is between.",
        Echo::OtherPage => "Sent back by another page.",
    },
    disturbed: "The page was out of sight meanwhile; browsers slow its timers down then.",
    together_text: "All roads at once: they shared the line.",
    order: |roads| format!("In this order, which was drawn: {roads}."),
    ecdf_title: "How long there and back takes",
    ecdf_finding: |p50| format!("Half of the messages were back within: {}.", list(p50, ms)),
    ecdf_axis: "milliseconds there and back; each mark is ten times the one before",
    time_title: "Over time",
    time_finding: |warm_up| match warm_up {
        0 => "Each dot is a message: when it was due, and how long it took.".to_owned(),
        _ => format!(
            "Each dot is a message: when it was due, and how long it took. The pale ones, the first {warm_up} of each road, warm up and do not count."
        ),
    },
    time_axis: "seconds since the first message of the road; milliseconds it took",
    bytes_title: "What one message costs on the wire",
    bytes_finding: |costs, text| {
        format!(
            "Bytes both ways for a text of {}, which goes up and comes down: {}.",
            bytes(text),
            list(costs, bytes)
        )
    },
    bytes_parts: ("text", "all else"),
    how_title: "How it works",
    how: |road| match road {
        Road::Over(Poll) => {
            "The page asks, gets what is new, which may be nothing, and asks again after a pause. What it says itself goes in a POST."
        }
        Road::Over(LongPoll) => {
            "The page asks, and the server answers when there is something, or after 25 seconds. Then the page asks again at once. What it says itself goes in a POST."
        }
        Road::Over(Events) => {
            "One answer that does not end: the server writes each event to it, and the browser comes back by itself to where it was. What the page says goes in a POST."
        }
        Road::Over(WebSocket) => {
            "One connection is upgraded from HTTP, and then both sides write frames to it whenever they like."
        }
        Road::Direct => {
            "The hub only introduces two browsers to each other. Then they talk directly, or by a relay where there is no way (TURN)."
        }
    },
    cost_title: "What it costs",
    cost: |f| {
        let requests = f.requests.map_or(String::new(), |n| match f.road {
            Road::Direct => format!("{n:.1} packets"),
            _ => format!("{n:.1} requests"),
        });
        let overhead =
            f.overhead.map_or(String::new(), |n| format!(" and {} beside its text", bytes(n)));
        let p50 = f.p50.map_or(String::new(), |n| format!(" Half are back within {}.", ms(n)));
        match requests.is_empty() {
            true => p50.trim_start().to_owned(),
            false => format!("Here a message took {requests}{overhead}.{p50}"),
        }
    },
    when_title: "When it is appropriate",
    when: |road| match road {
        Road::Over(Poll) => "Where real time does not matter and the server can answer often.",
        Road::Over(LongPoll) => "Where real time matters and data is rare.",
        Road::Over(Events) => "For streams that go one way, from the server.",
        Road::Over(WebSocket) => {
            "Where both sides speak, and there is a server that holds connections."
        }
        Road::Direct => "Where immediacy is all and the group is small.",
    },
    verdict: |verdict, f, plan| {
        let p50 = f.p50.map(ms).unwrap_or_default();
        match (verdict, f.road) {
            (Verdict::Unknown, _) => "There is nothing here to hold that against.".to_owned(),
            (Verdict::Agrees, Road::Over(Poll)) => format!(
                "The figures agree: half of the messages took {p50} or more, most of it waiting for the next poll ({} ms).",
                plan.poll
            ),
            (Verdict::Agrees, Road::Over(LongPoll)) => format!(
                "The figures agree: {p50} instead of a poll’s wait, at the price of {:.1} requests a message.",
                f.requests.unwrap_or_default()
            ),
            (Verdict::Agrees, Road::Over(Events)) => format!(
                "The figures agree: as fast as a WebSocket ({p50}), but what the page says itself costs a request each, {} beside the text.",
                bytes(f.overhead.unwrap_or_default())
            ),
            (Verdict::Agrees, Road::Over(WebSocket)) => format!(
                "The figures agree: no road through the hub was much faster than {p50}, and none cost less than {} beside the text.",
                bytes(f.overhead.unwrap_or_default())
            ),
            (Verdict::Agrees, Road::Direct) => {
                format!("The figures agree: none was faster than {p50}.")
            }
            (Verdict::Disagrees, Road::Over(Poll)) => format!(
                "The figures disagree: {p50} is less than a quarter of the pause. Here polling was quicker than it should be."
            ),
            (Verdict::Disagrees, Road::Over(LongPoll)) => format!(
                "The figures disagree: {p50} is hardly less than with polling, or one answer carried several messages ({:.1} requests each). With this much data, plain polling does.",
                f.requests.unwrap_or_default()
            ),
            (Verdict::Disagrees, Road::Over(Events)) => format!(
                "The figures disagree: with {p50} it was much slower than a WebSocket here, or cost less."
            ),
            (Verdict::Disagrees, Road::Over(WebSocket)) => format!(
                "The figures disagree: another road through the hub was quicker than {p50}, or cheaper."
            ),
            (Verdict::Disagrees, Road::Direct) => {
                format!("The figures disagree: with {p50} it was not the fastest here.")
            }
        }
    },
    not_measured: "It was not measured.",
    diagram: |ms| format!("What happened for the message in the middle, which took {ms}:"),
    lanes: |road| match road {
        Road::Direct => ["this page", "other page"],
        _ => ["page", "hub"],
    },
    step: |what| match what {
        What::Get => "GET",
        What::Post => "POST",
        What::Answer => "answer",
        What::Send => "frame",
        What::Receive => "frame",
        What::SendDirect | What::ReceiveDirect => "message",
    },
    empty_steps: |count| match count {
        1 => "nothing new".to_owned(),
        _ => format!("nothing new, {count} times"),
    },
    json: "Download as JSON",
    csv: "Download as CSV",
    repeat: "Address that asks for the same run",
};

pub(crate) const KO: LabStrings = LabStrings {
    title: "실험실",
    hint: "실험실: 실시간으로 대화하는 다섯 가지 길을 지금 네트워크에서 재기",
    lead: "페이지가 실시간으로 대화하는 다섯 가지 길을 지금 쓰는 네트워크에서 겨룹니다. 같은 메시지가 갔다가 돌아옵니다.",
    recorded: |at, by| {
        format!(
            "{at}에 서버와 같은 컴퓨터의 브라우저에서 기록한 결과입니다({by}). 시작하면 지금 네트워크의 수치를 볼 수 있습니다."
        )
    },
    no_script: "측정하려면 JavaScript가 필요합니다. 꺼져 있으면 기록해 둔 결과를 보여 줍니다.",
    roads: "길",
    road: |road| match road {
        Road::Over(Poll) => "폴링",
        Road::Over(LongPoll) => "롱 폴링",
        Road::Over(Events) => "Server-Sent Events",
        Road::Over(WebSocket) => "웹소켓",
        Road::Direct => "WebRTC",
    },
    count: "길마다 보낼 메시지 수",
    size: "메시지 크기(바이트)",
    rate: "초당 메시지 수",
    poll: "폴링 간격(ms)",
    seed: "순서와 날씨의 시드",
    together: "모든 길을 한꺼번에: 회선을 나눠 쓰므로 서로 느려집니다",
    weather: "네트워크를 일부러 나쁘게",
    weather_text: "실험실의 연결에만 적용됩니다. 손실은 모형입니다. 잃은 것은 200 ms 뒤, 그다음엔 400 ms 뒤에 다시 보내고, TCP처럼 그 뒤의 것은 모두 기다립니다.",
    latency: "왕복 지연 추가(ms)",
    loss: "손실(백 개 중)",
    blocked: "막기",
    start: "시작",
    stop: "멈춤",
    stopped: "멈췄습니다. 모든 연결을 닫았습니다.",
    running: |road| format!("측정 중: {road}"),
    over: "모든 길을 마쳤습니다.",
    clamped: |c| {
        format!("‘{}’에 ‘{}’은(는) 쓸 수 없어 ‘{}’(으)로 합니다.", c.name, c.wanted, c.taken)
    },
    no_road: "겨룰 길을 하나 이상 고르세요.",
    other_device: "다른 기기와 WebRTC 겨루기",
    other_device_text: "WebRTC에는 상대가 있어야 합니다. 다른 기기가 없으면 이 페이지가 스스로 답하며, 그 사이에 네트워크는 없습니다.",
    other_device_here: "다른 기기에서 이 주소를 열어 답하게 한 다음 여기서 시작하세요. 두 기기는 직접 연결되어 서로의 주소를 알게 됩니다.",
    answer: "여기서 답하기",
    answering: "이 페이지가 열려 있는 동안 다른 기기가 보낸 것을 돌려보냅니다.",
    results: "결과",
    columns: [
        "길",
        "보냄",
        "잃음",
        "겹침",
        "p50",
        "p95",
        "p99",
        "늦음",
        "메시지당 요청",
        "보낸 바이트",
        "받은 바이트",
        "메시지당 덤",
    ],
    late_text: "시간은 보낼 수 있던 때가 아니라 보내기로 한 때부터 잽니다. ‘늦음’은 페이지가 스스로 늦은 시간입니다(100개 중 95번째). 길마다 처음 20분의 1은 몸풀기라 세지 않습니다.",
    wire_text: "바이트는 허브의 소켓에서 헤더까지 모두, TLS 아래에서 셉니다. 브라우저는 알려 주지 않기 때문입니다(웹소켓도, 요청이 보낸 바이트도 볼 방법이 없습니다). WebRTC는 브라우저가 센 값에 패킷마다 IP와 UDP 28바이트를 더한 추정치이고, 요청 수는 패킷 수입니다.",
    longest: "최대",
    failed: |failed| match failed {
        Failed::NotOpened => "열리지 않았습니다.",
        Failed::NoWay => "두 브라우저를 잇는 길을 찾지 못했습니다.",
        Failed::Missing => "이 브라우저에는 WebRTC가 없습니다.",
        Failed::Stopped => "끝나기 전에 멈췄습니다.",
    },
    carried: |road| format!("막혀 있어서 클라이언트가 스스로 다른 길을 찾았습니다: {road}."),
    echo: |echo| match echo {
        Echo::SamePage => {
            "이 페이지의 두 번째 세션이 돌려보냈습니다. 그 사이에 네트워크는 없습니다."
        }
        Echo::OtherPage => "다른 페이지가 돌려보냈습니다.",
    },
    disturbed: "그동안 페이지가 보이지 않았습니다. 그럴 때 브라우저는 타이머를 늦춥니다.",
    together_text: "모든 길을 한꺼번에: 회선을 나눠 썼습니다.",
    order: |roads| format!("뽑은 순서: {roads}."),
    ecdf_title: "갔다가 돌아오는 데 걸린 시간",
    ecdf_finding: |p50| format!("메시지의 절반이 이 안에 돌아왔습니다: {}.", list(p50, ms)),
    ecdf_axis: "왕복 시간(ms), 눈금마다 열 배",
    time_title: "시간의 흐름",
    time_finding: |warm_up| match warm_up {
        0 => "점 하나가 메시지 하나입니다. 보내기로 한 때와 걸린 시간입니다.".to_owned(),
        _ => format!(
            "점 하나가 메시지 하나입니다. 보내기로 한 때와 걸린 시간입니다. 길마다 처음 {warm_up}개의 옅은 점은 몸풀기라 세지 않습니다."
        ),
    },
    time_axis: "길의 첫 메시지부터 지난 시간(초)과 걸린 시간(ms)",
    bytes_title: "메시지 하나가 회선에서 쓰는 양",
    bytes_finding: |costs, text| {
        format!(
            "{}짜리 글이 갔다가 돌아오는 데 든 양방향 바이트: {}.",
            bytes(text),
            list(costs, bytes)
        )
    },
    bytes_parts: ("글", "나머지"),
    how_title: "어떻게",
    how: |road| match road {
        Road::Over(Poll) => {
            "페이지가 묻고, 새것을 받고(없을 수도 있습니다), 조금 쉬었다가 다시 묻습니다. 하고 싶은 말은 POST로 보냅니다."
        }
        Road::Over(LongPoll) => {
            "페이지가 물으면 서버는 새것이 생겼을 때, 또는 25초 뒤에 답합니다. 그러면 페이지는 바로 다시 묻습니다. 하고 싶은 말은 POST로 보냅니다."
        }
        Road::Over(Events) => {
            "끝나지 않는 응답 하나에 서버가 이벤트를 써 내려가고, 끊기면 브라우저가 있던 자리로 스스로 돌아옵니다. 페이지의 말은 POST로 보냅니다."
        }
        Road::Over(WebSocket) => {
            "HTTP로 시작한 연결 하나를 바꿔 쓰고, 그 뒤로는 양쪽이 언제든 프레임을 보냅니다."
        }
        Road::Direct => {
            "허브는 두 브라우저를 소개만 합니다. 그다음엔 둘이 직접, 길이 없으면 중계(TURN)로 이야기합니다."
        }
    },
    cost_title: "무엇이 드는가",
    cost: |f| {
        let requests = f.requests.map_or(String::new(), |n| match f.road {
            Road::Direct => format!("패킷 {n:.1}개"),
            _ => format!("요청 {n:.1}번"),
        });
        let overhead = f.overhead.map_or(String::new(), |n| format!(", 글 말고 {}", bytes(n)));
        let p50 = f.p50.map_or(String::new(), |n| format!(" 절반이 {} 안에 돌아왔습니다.", ms(n)));
        match requests.is_empty() {
            true => p50.trim_start().to_owned(),
            false => format!("여기서는 메시지 하나에 {requests}{overhead}가 들었습니다.{p50}"),
        }
    },
    when_title: "언제 알맞은가",
    when: |road| match road {
        Road::Over(Poll) => "실시간이 중요하지 않고 서버가 자주 답할 수 있을 때.",
        Road::Over(LongPoll) => "실시간이 중요하고 데이터가 드물 때.",
        Road::Over(Events) => "서버에서 한 방향으로 흐를 때.",
        Road::Over(WebSocket) => "양쪽이 말하고, 연결을 붙들고 있을 서버가 있을 때.",
        Road::Direct => "즉시성이 전부이고 모임이 작을 때.",
    },
    verdict: |verdict, f, plan| {
        let p50 = f.p50.map(ms).unwrap_or_default();
        match (verdict, f.road) {
            (Verdict::Unknown, _) => "여기에는 견줄 것이 없습니다.".to_owned(),
            (Verdict::Agrees, Road::Over(Poll)) => format!(
                "수치도 그렇습니다. 절반이 {p50} 넘게 걸렸고, 대부분 다음 폴링({} ms)을 기다린 시간입니다.",
                plan.poll
            ),
            (Verdict::Agrees, Road::Over(LongPoll)) => format!(
                "수치도 그렇습니다. 폴링처럼 기다리지 않고 {p50}, 대신 메시지마다 요청이 {:.1}번 듭니다.",
                f.requests.unwrap_or_default()
            ),
            (Verdict::Agrees, Road::Over(Events)) => format!(
                "수치도 그렇습니다. 웹소켓만큼 빠르지만({p50}) 페이지의 말마다 요청이 하나씩, 글 말고 {}가 듭니다.",
                bytes(f.overhead.unwrap_or_default())
            ),
            (Verdict::Agrees, Road::Over(WebSocket)) => format!(
                "수치도 그렇습니다. 허브를 지나는 길 가운데 {p50}보다 훨씬 빠른 것도, 글 말고 {}보다 적게 드는 것도 없었습니다.",
                bytes(f.overhead.unwrap_or_default())
            ),
            (Verdict::Agrees, Road::Direct) => {
                format!("수치도 그렇습니다. {p50}보다 빠른 길은 없었습니다.")
            }
            (Verdict::Disagrees, Road::Over(Poll)) => format!(
                "수치는 다릅니다. {p50}는 간격의 4분의 1도 안 됩니다. 여기서는 폴링이 예상보다 빨랐습니다."
            ),
            (Verdict::Disagrees, Road::Over(LongPoll)) => format!(
                "수치는 다릅니다. {p50}로 폴링보다 별로 빠르지 않았거나, 응답 하나가 메시지를 여럿 실었습니다(메시지마다 요청 {:.1}번). 데이터가 이만큼이면 그냥 폴링으로 충분합니다.",
                f.requests.unwrap_or_default()
            ),
            (Verdict::Disagrees, Road::Over(Events)) => {
                format!("수치는 다릅니다. {p50}로 웹소켓보다 훨씬 느렸거나, 덜 들었습니다.")
            }
            (Verdict::Disagrees, Road::Over(WebSocket)) => format!(
                "수치는 다릅니다. 허브를 지나는 다른 길이 {p50}보다 빨랐거나 덜 들었습니다."
            ),
            (Verdict::Disagrees, Road::Direct) => {
                format!("수치는 다릅니다. {p50}로 가장 빠르지는 않았습니다.")
            }
        }
    },
    not_measured: "측정하지 않았습니다.",
    diagram: |ms| format!("걸린 시간이 가운데인 메시지({ms})에 있었던 일:"),
    lanes: |road| match road {
        Road::Direct => ["이 페이지", "다른 페이지"],
        _ => ["페이지", "허브"],
    },
    step: |what| match what {
        What::Get => "GET",
        What::Post => "POST",
        What::Answer => "응답",
        What::Send => "프레임",
        What::Receive => "프레임",
        What::SendDirect | What::ReceiveDirect => "메시지",
    },
    empty_steps: |count| match count {
        1 => "새것 없음".to_owned(),
        _ => format!("새것 없음, {count}번"),
    },
    json: "JSON 내려받기",
    csv: "CSV 내려받기",
    repeat: "같은 측정을 요청하는 주소",
};
