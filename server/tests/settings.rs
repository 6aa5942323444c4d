//! What an operator sets, in a file, in the environment and on the command line, as the real binary takes it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use hub::{
    broker::{Broker, Retention},
    contract::draft,
};
use serde_json::{Value, json};
use server::{SqliteBroker, Sync};

fn new_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("hubbub-settings-{}", uuid::Uuid::new_v4()));
    fs::create_dir(&dir).unwrap();
    dir
}

/// The real binary in `dir`.
fn hubbub(dir: &Path, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    command.current_dir(dir).args(line);
    command
}

/// How it ended, and what it said: standard output, and the lines of the other.
fn ended(command: &mut Command) -> (i32, String, Vec<String>) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    (status.code().unwrap(), out, err.lines().map(str::to_owned).collect())
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_where_it_is_from() {
    let dir = new_dir();
    let text = "\
        # What an operator may write on a bad day.\n\
        listen = \"nowhere\"\n\
        publish-rate = -1\n\
        publish_rate = 20\n\
        ephemeral = 1\n\
        host = [\n\
        \x20 \"hub.example.org\",\n\
        \x20 \"https://hub.example.org\",\n\
        ]\n\
        turn = [\"turn:a\", \"turn:b\"]\n\
        sync = \"loud\"\n\
        sync = \"full\"\n\
        webhook = [\"https://a.example\"]\n\
        webhook-secret = \"missing\"\n\
        log = \"hub=loud\"\n\
        data = \"\"\n\
        tls-cert = \"a.pem\"\n\
        tls-key = 5\n";
    fs::write(dir.join("hubbub.toml"), text).unwrap();
    let expected = [
        "--proxy-header: invalid value 'x' [possible values: x-forwarded, forwarded, proxy-protocol]",
        "HUBBUB_ACCESS: invalid value 'nobody' [possible values: open, tokens]",
        "HUBBUB_STUN: invalid value 'b': `b` is not like stun:host.example.org:3478",
        "hubbub.toml:2: listen: invalid value 'nowhere': `nowhere` is not an address like 127.0.0.1:3000, localhost:3000, \
         :3000 or unix:/run/hubbub.sock",
        "hubbub.toml:3: publish-rate: invalid value '-1': -1 is not in 0..=4294967295",
        "hubbub.toml:4: publish_rate: there is no such setting; there is `publish-rate`",
        "hubbub.toml:5: ephemeral: it is true or false",
        "hubbub.toml:8: host: invalid value 'https://hub.example.org': `https://hub.example.org` is not a name like \
         hub.example.org or hub.example.org:8443",
        "hubbub.toml:10: turn: --turn-secret <FILE> is needed with it",
        "hubbub.toml:11: sync: invalid value 'loud' [possible values: full, normal]",
        "hubbub.toml:12: sync = \"full\": duplicate key",
        "hubbub.toml:14: webhook-secret: invalid value 'missing': `missing`: No such file or directory (os error 2)",
        "hubbub.toml:15: log: invalid value 'hub=loud': error parsing level filter: expected one of \"off\", \"error\", \
         \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
        "hubbub.toml:16: data: a value is required but none was supplied",
        "hubbub.toml:18: tls-key: it is a text, in quotes",
    ];
    let expected: Vec<_> = expected.iter().map(|line| format!("hubbub: {line}")).collect();
    // A start stops at the same, and so does whatever else there is to do.
    for command in [None, Some("check"), Some("export")] {
        let mut hubbub = hubbub(&dir, &["--config", "hubbub.toml", "--proxy-header", "x"]);
        hubbub.args(command).env("HUBBUB_ACCESS", "nobody").env("HUBBUB_STUN", "stun:a,b");
        let (code, out, err) = ended(&mut hubbub);
        assert_eq!((code, out.as_str()), (2, ""), "{command:?}");
        assert_eq!(err, expected, "{command:?}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_file_that_can_not_be_read_or_is_none_is_told_by_its_name() {
    let dir = new_dir();
    fs::write(dir.join("bytes"), [0xff]).unwrap();
    fs::write(dir.join("nonsense"), "listen = \":80\"\n\nlisten on port 80\n").unwrap();
    for (file, expected) in [
        ("missing", "missing: No such file or directory (os error 2)"),
        ("bytes", "bytes: stream did not contain valid UTF-8"),
        ("nonsense", "nonsense:3: listen on port 80: key with no value, expected `=`"),
        ("", "HUBBUB_CONFIG: a value is required but none was supplied"),
    ] {
        // What the secret is may be in the file, for all one knows.
        let mut hubbub = hubbub(&dir, &["--turn", "turn:a", "check"]);
        let (code, _, err) = ended(hubbub.env("HUBBUB_CONFIG", file));
        assert_eq!((code, err), (2, vec![format!("hubbub: {expected}")]));
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_flag_goes_before_a_variable_and_that_before_the_file_and_that_before_the_default() {
    let dir = new_dir();
    fs::write(dir.join("hubbub.toml"), "data = \"of-the-file\"\n").unwrap();
    // No directory is there: it says which one is missing.
    let used = |command: &mut Command| {
        let (code, _, err) = ended(command);
        assert_eq!(code, 1);
        let path = err[0].split_once("data directory: ").unwrap().1;
        Path::new(path.split(": ").next().unwrap()).parent().unwrap().to_owned()
    };
    let with_file = ["check", "--config", "hubbub.toml"];
    let with_flag = ["check", "--config", "hubbub.toml", "--data", "of-the-flag"];
    let variable = ("HUBBUB_DATA", "of-the-variable");
    assert_eq!(used(&mut hubbub(&dir, &["check"])), Path::new("./hubbub-data"));
    assert_eq!(used(&mut hubbub(&dir, &with_file)), Path::new("of-the-file"));
    let mut with_variable = hubbub(&dir, &with_file);
    assert_eq!(used(with_variable.env(variable.0, variable.1)), Path::new("of-the-variable"));
    let mut with_all = hubbub(&dir, &with_flag);
    assert_eq!(used(with_all.env(variable.0, variable.1)), Path::new("of-the-flag"));
    fs::remove_dir_all(dir).unwrap();
}

/// Killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The servers that it tells browsers of, once it serves.
async fn told(mut command: Command) -> Value {
    let mut process = Process(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap();
    let http = reqwest::Client::new();
    let json = async |request: reqwest::RequestBuilder| {
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    };
    let token = json(http.post(format!("{url}/api/token"))).await["token"].clone();
    let ask = http.get(format!("{url}/api/ice")).bearer_auth(token.as_str().unwrap());
    json(ask).await["iceServers"][0]["urls"].clone()
}

#[tokio::test]
async fn a_list_of_the_stronger_goes_in_place_of_the_whole_list_of_the_weaker() {
    let dir = new_dir();
    let text =
        "ephemeral = true\nlisten = \"127.0.0.1:0\"\nstun = [\"stun:file-a\", \"stun:file-b\"]\n";
    fs::write(dir.join("hubbub.toml"), text).unwrap();
    let alone = hubbub(&dir, &["--ephemeral", "--listen", "127.0.0.1:0"]);
    assert_eq!(told(alone).await, Value::Null);
    let file = ["--config", "hubbub.toml"];
    assert_eq!(told(hubbub(&dir, &file)).await, json!(["stun:file-a", "stun:file-b"]));
    let mut variable = hubbub(&dir, &file);
    variable.env("HUBBUB_STUN", "stun:variable-a,stun:variable-b");
    assert_eq!(told(variable).await, json!(["stun:variable-a", "stun:variable-b"]));
    let mut flag = hubbub(&dir, &file);
    flag.args(["--stun", "stun:flag"]).env("HUBBUB_STUN", "stun:variable");
    assert_eq!(told(flag).await, json!(["stun:flag"]));
    fs::remove_dir_all(dir).unwrap();
}

/// A certificate that is good until that year, and its key.
fn certify(dir: &Path, name: &str, year: i32) {
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), cert.pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn a_check_tries_the_certificate_and_its_key() {
    let dir = new_dir();
    certify(&dir, "good", 3000);
    certify(&dir, "old", 2000);
    let check = |cert: &str, key: &str| {
        let text = format!("tls-cert = \"{cert}\"\ntls-key = \"{key}\"\n");
        fs::write(dir.join("hubbub.toml"), text).unwrap();
        ended(&mut hubbub(&dir, &["--ephemeral", "--config", "hubbub.toml", "check"]))
    };
    assert_eq!(check("good.pem", "good.key"), (0, "all is well\n".to_owned(), Vec::new()));
    for (cert, key, what) in [
        ("good.pem", "old.key", "2: tls-key: old.key: it is not the key of the certificate"),
        ("old.pem", "old.key", "1: tls-cert: old.pem: the certificate has expired"),
        (
            "missing.pem",
            "old.key",
            "1: tls-cert: missing.pem: No such file or directory (os error 2)",
        ),
        ("good.pem", "good.pem", "2: tls-key: good.pem: no items found"),
    ] {
        let (code, out, err) = check(cert, key);
        assert_eq!((code, out.as_str(), err.len()), (1, "", 2), "{err:?}");
        assert_eq!(err[0], format!("hubbub: hubbub.toml:{what}"));
    }
    // Also where the rest is wrong.
    let text = "tls-cert = \"old.pem\"\ntls-key = \"old.key\"\nhots = \"a\"\n";
    fs::write(dir.join("hubbub.toml"), text).unwrap();
    let (code, _, err) = ended(&mut hubbub(&dir, &["check", "--config", "hubbub.toml"]));
    assert_eq!((code, err.len()), (2, 2), "{err:?}");
    assert!(err[1].contains("the certificate has expired"), "{err:?}");
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_check_looks_through_what_is_kept() {
    let dir = new_dir();
    fs::write(dir.join("hubbub.toml"), "data = \"kept\"\n").unwrap();
    let check = || ended(&mut hubbub(&dir, &["check", "--config", "hubbub.toml"]));
    let (code, out, err) = check();
    assert_eq!((code, out.as_str(), err.len()), (1, "", 1), "{err:?}");
    assert!(err[0].contains("can't use the data directory"), "{err:?}");

    let kept = dir.join("kept");
    let log = SqliteBroker::open(&kept, Retention::default(), Sync::Normal).unwrap();
    for n in 1..=3 {
        log.append(vec![draft("tea", &format!("m{n}"), 0)]).await.unwrap();
    }
    drop(log);
    assert_eq!(check(), (0, "all is well; messages: 3\n".to_owned(), Vec::new()));
    // One letter of what was said, as a disk might.
    let file = rusqlite::Connection::open(kept.join("hubbub.db")).unwrap();
    let sql = "UPDATE messages SET body = CAST(replace(CAST(body AS TEXT), 'm2', 'n2') AS BLOB)";
    file.execute(sql, []).unwrap();
    drop(file);
    let (code, out, err) = check();
    assert_eq!((code, out.as_str(), err.len()), (1, "", 2), "{err:?}");
    assert!(err[0].starts_with("message 2 of room tea is damaged"), "{err:?}");
    fs::remove_dir_all(dir).unwrap();
}
