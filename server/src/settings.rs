//! Where settings come from: the command line, the environment, a file, and else their defaults; the first that has one
//! counts.
//!
//! Start at [`Settings::read`]. The rule to keep: what there is to set, what it takes and what it needs is said by the
//! flags of [`Config`], and nowhere else. Whatever is set, and wherever, is made into its flag and handed to clap: first
//! alone, so that everything that is wrong is told with where it is from, then all together.

mod file;

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    path::Path,
};

use clap::{
    Arg, ArgMatches, CommandFactory, FromArgMatches,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
    value_parser,
};

use crate::{
    config::{Command, Config},
    tls,
};

/// What the operator has chosen.
#[derive(Debug)]
pub struct Settings {
    /// All of it that is right, and defaults in place of what is not: to be served only if nothing is wrong.
    pub config: Config,
    /// A line for each thing that is wrong, with where it is from: a flag, a variable, or a key and its line in the
    /// file.
    pub wrong: Vec<String>,
    given: Vec<Given>,
}

/// A value that somebody gave; of a setting that has several, one of them.
#[derive(Clone, Debug)]
struct Given {
    /// What it is for.
    arg: Arg,
    /// The flag, the variable, or the key and its line.
    from: String,
    /// The line, if it is from the file.
    line: Option<usize>,
    /// As on the command line, `--name=value`, or `--name`; or why it can't be written so.
    flag: Result<OsString, String>,
}

/// Something that is wrong, and in which line, if that is in the file.
type Wrong = (Option<usize>, String);

impl Settings {
    /// Reads them from everywhere. `line` is the command line, the program's name first.
    ///
    /// # Errors
    ///
    /// When the command line can't be made out, or asks for help. Whatever else is wrong is in [`Settings::wrong`].
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut told = Config::command();
        let matches = make_out(told.clone(), line.into_iter().collect())?;
        told.build();
        // What is in the environment is among the given; clap is not to look there again.
        let flags = told.clone().mut_args(|arg| arg.env(Resettable::Reset));
        let mut given = outside_the_file(&told, &matches);
        let mut wrong = Vec::new();
        let path = matches.get_raw("config").and_then(|mut path| path.next());
        let is_all = path.is_none_or(|path| {
            // That an empty one is none, clap says.
            !path.is_empty() && file::read(Path::new(path), &flags, &mut given, &mut wrong)
        });

        let (mut present, mut good) = (HashSet::new(), Vec::new());
        for one in given {
            let counts = one.line.is_none() || source(&matches, &one.arg).is_none();
            if counts {
                present.insert(one.arg.to_string());
            }
            match look(&flags, &one) {
                Err(what) => wrong.push((one.line, format!("{}: {what}", one.from))),
                Ok(needs) if counts => good.push((one, needs)),
                Ok(_) => {}
            }
        }
        let right: HashSet<_> = good.iter().map(|(one, _)| one.arg.to_string()).collect();
        let mut told_of = HashSet::new();
        good.retain(|(one, needs)| {
            if is_all
                && let Some(need) = needs.iter().find(|need| !present.contains(*need))
                && told_of.insert(one.arg.get_id().clone())
            {
                wrong.push((one.line, format!("{}: {need} is needed with it", one.from)));
            }
            needs.iter().all(|need| right.contains(need))
        });
        wrong.sort_by_key(|(line, _)| *line);

        let given: Vec<_> = good.into_iter().map(|(one, _)| one).collect();
        let all = given.iter().flat_map(|one| &one.flag);
        let program = OsString::from("hubbub");
        let all = flags.try_get_matches_from([&program].into_iter().chain(all))?;
        let mut config = Config::from_arg_matches(&all)?;
        let command = matches.subcommand_name().map(|_| Command::from_arg_matches(&matches));
        config.command = command.transpose()?;
        Ok(Self { config, wrong: wrong.into_iter().map(|(_, what)| what).collect(), given })
    }

    /// What is right as far as it can be read, and shows to be wrong when it is tried: a line for each, as in
    /// [`Settings::wrong`]. Nothing is opened that others would see.
    pub fn unfit(&self) -> Vec<String> {
        let (Some(cert), Some(key)) = (&self.config.tls_cert, &self.config.tls_key) else {
            return Vec::new();
        };
        let Err(error) = tls::try_out(cert, key) else { return Vec::new() };
        let error = error.to_string();
        let is_of_the_key = error.starts_with(&format!("{}: ", key.display()));
        let id = if is_of_the_key { "tls_key" } else { "tls_cert" };
        let given = self.given.iter().find(|one| one.arg.get_id() == id);
        vec![given.map_or(error.clone(), |one| format!("{}: {error}", one.from))]
    }
}

/// What the command line and the environment say, values as they are written, whatever is wrong with them.
fn make_out(told: clap::Command, line: Vec<OsString>) -> Result<ArgMatches, clap::Error> {
    // What a setting needs is looked at later, once the file is read, too.
    let raw =
        told.subcommand_negates_reqs(true).mut_args(|arg| match arg.get_action().takes_values() {
            true => arg.value_parser(value_parser!(OsString)),
            false => arg,
        });
    match raw.clone().try_get_matches_from(&line) {
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            let matches = raw.ignore_errors(true).try_get_matches_from(line)?;
            // It may be the command that needs more.
            if matches.subcommand_name().is_none() { Ok(matches) } else { Err(error) }
        }
        made_out => made_out,
    }
}

/// Where this is from, if not from the file and no default.
fn source(matches: &ArgMatches, arg: &Arg) -> Option<ValueSource> {
    let source = matches.value_source(arg.get_id().as_str());
    source.filter(|source| *source != ValueSource::DefaultValue)
}

/// What the command line and the environment give.
fn outside_the_file(told: &clap::Command, matches: &ArgMatches) -> Vec<Given> {
    let mut given = Vec::new();
    for arg in told.get_arguments() {
        let (id, name) = (arg.get_id().as_str(), arg.get_long().unwrap_or_default());
        let from = match source(matches, arg) {
            Some(ValueSource::EnvVariable) => {
                arg.get_env().unwrap_or_default().to_string_lossy().into_owned()
            }
            Some(_) => format!("--{name}"),
            None => continue,
        };
        let flags = match arg.get_action().takes_values() {
            true => {
                matches.get_raw(id).into_iter().flatten().map(|value| with(name, value)).collect()
            }
            false if matches.get_flag(id) => vec![alone(name)],
            false => Vec::new(),
        };
        let give =
            |flag| Given { arg: arg.clone(), from: from.clone(), line: None, flag: Ok(flag) };
        given.extend(flags.into_iter().map(give));
    }
    given
}

/// A flag that takes no value.
fn alone(name: &str) -> OsString {
    format!("--{name}").into()
}

/// A flag with this value.
fn with(name: &str, value: &OsStr) -> OsString {
    let mut flag = alone(name);
    flag.push("=");
    flag.push(value);
    flag
}

/// What clap makes of this alone: which other flags it needs beside it, or what is wrong with it.
fn look(flags: &clap::Command, given: &Given) -> Result<Vec<String>, String> {
    let line = [OsStr::new("hubbub"), given.flag.as_ref()?];
    let Err(error) = flags.clone().try_get_matches_from(line) else { return Ok(Vec::new()) };
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(needs))) => {
            Ok(needs.clone())
        }
        _ => {
            // Behind an empty line it tells of the usage.
            let text = error.to_string();
            let what = text.split("\n\n").next().unwrap_or_default();
            let what = what.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            let what = what.trim_start_matches("error: ");
            let what = what.replace(&format!(" for '{}'", given.arg), "");
            Err(match given.arg.is_hide_env_values_set() {
                // There may be a password in it.
                true => what.rsplit_once("': ").map_or("it is no good", |(_, why)| why).to_owned(),
                false => what,
            })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// A directory with what flags name: secrets, and a public key.
    fn dir() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("hubbub-settings-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("turn"), "long enough to be one\n").unwrap();
        fs::write(dir.join("webhook"), format!("whsec_{}\n", "abcd".repeat(10))).unwrap();
        fs::write(dir.join("key"), include_str!("../tests/keys/ec.pub.pem")).unwrap();
        dir
    }

    /// Reads a file with this in it, and these flags.
    fn read(dir: &Path, text: &str, flags: &[&str]) -> Settings {
        let file = dir.join("hubbub.toml");
        fs::write(&file, text).unwrap();
        let line = ["hubbub", "--config", file.to_str().unwrap()];
        let mut settings = Settings::read(line.iter().chain(flags).map(OsString::from)).unwrap();
        settings.config.config = None;
        settings
    }

    /// A value for each flag, as TOML has it, that is not its default.
    fn sample(name: &str, dir: &Path) -> String {
        let file = |name: &str| format!("\"{}\"", dir.join(name).display());
        match name {
            "listen" => "\":80\"".to_owned(),
            "data" | "tls-cert" | "tls-key" | "key-file" | "broker-credentials" => file("some"),
            "broker" => "\"nats://a,b:4223\"".to_owned(),
            "broker-name" => "\"tea_2\"".to_owned(),
            "broker-replicas" => "3".to_owned(),
            "broker-streams" => "2".to_owned(),
            "broker-wait" => "0.5".to_owned(),
            "broker-window" => "60".to_owned(),
            "sync" => "\"normal\"".to_owned(),
            "ephemeral" => "true".to_owned(),
            "allow-origin" => "[\"https://a.example\", \"https://b.example\"]".to_owned(),
            "publish-rate" | "address-rate" | "connections" | "connections-per-address" => {
                "1_7".to_owned()
            }
            "trusted-proxy" => "[\"10.0.0.0/8\", \"::1\"]".to_owned(),
            "proxy-header" => "\"forwarded\"".to_owned(),
            "host" => "[\"a.example\", \"b.example:81\"]".to_owned(),
            "access" => "\"tokens\"".to_owned(),
            "token-key" => format!("[{}]", file("key")),
            "jwks" => "\"https://a.example/jwks\"".to_owned(),
            "token-audience" => "[\"a\", \"b\"]".to_owned(),
            "base-path" => "\"/hub\"".to_owned(),
            "stun" => "[\"stun:a.example\", \"stun:b.example\"]".to_owned(),
            "turn" => "[\"turn:a.example\"]".to_owned(),
            "turn-secret" => file("turn"),
            "webhook" => "[\"team-*=https://a.example/?a=b\", \"https://b.example\"]".to_owned(),
            "webhook-secret" => file("webhook"),
            "drain-delay" => "2.5".to_owned(),
            "acme" => "[\"a.example\", \"b.example\"]".to_owned(),
            "acme-email" => "\"ada@a.example\"".to_owned(),
            "acme-directory" => "\"https://a.example/directory\"".to_owned(),
            "acme-ca" => file("some"),
            "publish-hook" => "[\"t*=https://a.example\", \"https://b.example\"]".to_owned(),
            "publish-hook-within" => "0.5".to_owned(),
            "publish-hook-late" => "\"allow\"".to_owned(),
            "otlp" => "\"http://collector:4318\"".to_owned(),
            "otlp-sample" => "0.25".to_owned(),
            "log-format" => "\"json\"".to_owned(),
            "log" => "\"hub=debug\"".to_owned(),
            other => panic!("give --{other} a value here, and one that it needs with it below"),
        }
    }

    #[test]
    fn every_flag_is_a_key_that_means_the_same() {
        let dir = dir();
        let nothing = format!("{:?}", read(&dir, "", &[]).config);
        let told = Config::command();
        let flags = told.get_arguments().filter_map(Arg::get_long);
        for name in flags.filter(|name| *name != "config") {
            let with_it = match name {
                "tls-cert" => Some("tls-key"),
                "tls-key" => Some("tls-cert"),
                "turn" => Some("turn-secret"),
                "webhook" | "publish-hook" => Some("webhook-secret"),
                "acme-email" | "acme-directory" | "acme-ca" => Some("acme"),
                _ if name.starts_with("broker-") => Some("broker"),
                _ => None,
            };
            let (mut text, mut line) = (String::new(), vec!["hubbub".to_owned()]);
            for name in [name].into_iter().chain(with_it) {
                let value = sample(name, &dir);
                text.push_str(&format!("{name} = {value}\n"));
                let values = value.trim_matches(['[', ']']).split(", ");
                line.extend(values.map(|value| match value {
                    "true" => format!("--{name}"),
                    "1_7" => format!("--{name}=17"),
                    value => format!("--{name}={}", value.trim_matches('"')),
                }));
            }
            let settings = read(&dir, &text, &[]);
            assert_eq!(settings.wrong, [""; 0], "{text}");
            let by_key = format!("{:?}", settings.config);
            let by_flag = <Config as clap::Parser>::try_parse_from(line).unwrap();
            assert_eq!(by_key, format!("{by_flag:?}"), "{text}");
            assert_ne!(by_key, nothing, "{text} changes nothing");
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_stronger_counts_alone_and_what_it_needs_may_be_elsewhere() {
        let dir = dir();
        let secret = dir.join("turn");
        let secret = secret.to_str().unwrap();
        let text = format!(
            "stun = [\"stun:a\", \"stun:b\"]\nephemeral = false\nturn-secret = \"{secret}\"\n"
        );
        let flags = ["--stun", "stun:c", "--ephemeral", "--turn", "turn:a"];
        let settings = read(&dir, &text, &flags);
        assert_eq!(settings.wrong, [""; 0]);
        let config = settings.config;
        assert_eq!(
            (config.stun, config.turn),
            (vec!["stun:c".to_owned()], vec!["turn:a".to_owned()])
        );
        assert!(config.ephemeral && config.turn_secret.is_some());
        // A command has the same settings, behind it or before it.
        for flags in [&["--data", "x", "check"], &["check", "--data", "x"]] {
            let settings = read(&dir, "turn = [\"turn:a\"]\ndata = \"y\"", flags);
            let wrong = format!(
                "{}:1: turn: --turn-secret <FILE> is needed with it",
                dir.join("hubbub.toml").display()
            );
            assert_eq!(settings.wrong, [wrong]);
            assert_eq!(settings.config.data, Path::new("x"));
            assert!(settings.config.turn.is_empty(), "what lacks something is left out");
            assert!(matches!(settings.config.command, Some(Command::Check)));
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_command_line_that_can_not_be_made_out_is_refused_as_ever() {
        for (line, kind) in [
            (&["--nonsense"][..], ErrorKind::UnknownArgument),
            (&["--listen", ":1", "--listen", ":2"], ErrorKind::ArgumentConflict),
            (&["--turn", "turn:a", "completions"], ErrorKind::MissingRequiredArgument),
            (&["completions", "cobol"], ErrorKind::InvalidValue),
            (&["--help"], ErrorKind::DisplayHelp),
        ] {
            let line = ["hubbub"].iter().chain(line).map(OsString::from);
            assert_eq!(Settings::read(line).unwrap_err().kind(), kind);
        }
    }

    #[test]
    fn what_operators_are_shown_can_be_read() {
        let page = include_str!("../../docs/operating.md");
        let shown = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let dir = dir();
        let settings = read(&dir, shown, &[]);
        assert_eq!(settings.wrong, [""; 0]);
        assert_eq!(settings.config.listen.to_string(), "0.0.0.0:443");
        fs::remove_dir_all(dir).unwrap();
    }
}
