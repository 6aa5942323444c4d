//! The file of settings: [TOML](https://toml.io), whose keys are the flags without the dashes before them.

use std::{
    any::TypeId,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, Command,
    error::{ContextKind, ContextValue},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Given, Wrong, alone, with};

/// Adds what the file at `path` gives to `given`, and what else is wrong with it to `wrong`. `flags` say what there is;
/// whether they take the values is not looked at. Returns whether it could be read: else, or if it is no TOML, nobody
/// knows what it sets.
pub(super) fn read(
    path: &Path,
    flags: &Command,
    given: &mut Vec<Given>,
    wrong: &mut Vec<Wrong>,
) -> bool {
    match fs::read_to_string(path) {
        Ok(text) => File { path, text: &text }.read(flags, given, wrong),
        Err(error) => {
            wrong.push((None, format!("{}: {error}", path.display())));
            false
        }
    }
}

/// What the parser says of a key that is there already. The rest can be read nevertheless.
const TWICE: &str = "duplicate key";

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn read(&self, flags: &Command, given: &mut Vec<Given>, wrong: &mut Vec<Wrong>) -> bool {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut errors: Vec<_> = errors
            .iter()
            .map(|error| (error.span().unwrap_or_default().start, error.message()))
            .collect();
        errors.sort_unstable();
        let entries = table.get_ref().iter().map(|(key, value)| {
            (key.get_ref().as_ref(), key.span().start..=value.span().end, value)
        });
        let entries: Vec<(&str, _, _)> = entries.collect();

        // One thing makes others of what is behind it in the same line or value.
        let mut told = 0;
        for (at, what) in &errors {
            let number = self.number(*at);
            if number <= told {
                continue;
            }
            let entry = entries.iter().find(|(_, range, _)| range.contains(at));
            let line = self.text.lines().nth(number - 1).unwrap_or_default().trim();
            let (who, end) = entry.map_or((line, *at), |(key, range, _)| (key, *range.end()));
            wrong.push(self.wrong(*at, who, what));
            told = number.max(self.number(end));
        }
        if errors.iter().any(|(_, what)| *what != TWICE) {
            return false;
        }

        for (key, range, value) in entries {
            let Some(arg) = setting(flags, key) else {
                wrong.push(self.wrong(*range.start(), key, &unknown(flags, key)));
                continue;
            };
            given.extend(written(arg, key, value).into_iter().map(|(at, flag)| Given {
                arg: arg.clone(),
                from: self.from(at, key),
                line: Some(self.number(at)),
                flag,
            }));
        }
        true
    }

    fn wrong(&self, at: usize, who: &str, what: &str) -> Wrong {
        (Some(self.number(at)), format!("{}: {what}", self.from(at, who)))
    }

    fn from(&self, at: usize, who: &str) -> String {
        format!("{}:{}: {who}", self.path.display(), self.number(at))
    }

    /// The number of the line that has this byte.
    fn number(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// The flag that this is the key of.
fn setting<'a>(flags: &'a Command, key: &str) -> Option<&'a Arg> {
    let arg = flags.get_arguments().find(|arg| arg.get_long() == Some(key));
    arg.filter(|arg| !["config", "help", "version"].contains(&arg.get_id().as_str()))
}

/// What is said of a key that is none.
fn unknown(flags: &Command, key: &str) -> String {
    let line = [OsStr::new("hubbub"), &alone(key)];
    let error = flags.clone().try_get_matches_from(line).err();
    let similar = match error.as_ref().and_then(|error| error.get(ContextKind::SuggestedArg)) {
        Some(ContextValue::String(flag)) => flag.trim_start_matches('-'),
        _ => "",
    };
    match setting(flags, similar) {
        Some(_) => format!("there is no such setting; there is `{similar}`"),
        None => "there is no such setting".to_owned(),
    }
}

/// The flags that a value stands for, or what it should be, and where it is.
fn written(
    arg: &Arg,
    key: &str,
    value: &Spanned<DeValue<'_>>,
) -> Vec<(usize, Result<OsString, String>)> {
    let at = value.span().start;
    match (arg.get_action(), value.get_ref()) {
        (ArgAction::Append, DeValue::Array(items)) => items
            .iter()
            .map(|item| (item.span().start, word(arg, item.get_ref())))
            .map(|(at, word)| (at, word.map(|word| with(key, word.as_ref()))))
            .collect(),
        (action, value) if action.takes_values() => {
            vec![(at, word(arg, value).map(|word| with(key, word.as_ref())))]
        }
        (_, DeValue::Boolean(true)) => vec![(at, Ok(alone(key)))],
        (_, DeValue::Boolean(false)) => Vec::new(),
        _ => vec![(at, Err("it is true or false".to_owned()))],
    }
}

/// As on the command line.
fn word(arg: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    let is = |types: &[TypeId]| types.iter().any(|kind| arg.get_value_parser().type_id() == *kind);
    // Of other types only their parser knows how they are written.
    let is_text = is(&[TypeId::of::<String>(), TypeId::of::<PathBuf>()]);
    let is_number = is(&[TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()]);
    match value {
        DeValue::String(_) if is_number => Err("it is a number, not in quotes".to_owned()),
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) if is_text => {
            Err("it is a text, in quotes".to_owned())
        }
        DeValue::Integer(number) => {
            let whole = i128::from_str_radix(number.as_str(), number.radix());
            Ok(whole.map_or(number.to_string(), |whole| whole.to_string()))
        }
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        other => Err(format!("it takes one value, and no {}", other.type_str())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::Config;

    /// The flags that a file stands for, and what is wrong with it, in the order of its lines.
    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let (mut given, mut wrong) = (Vec::new(), Vec::new());
        let file = File { path: Path::new("f"), text };
        file.read(&Config::command(), &mut given, &mut wrong);
        let mut flags = Vec::new();
        given.sort_by_key(|given| given.line);
        for Given { flag, from, line, .. } in given {
            match flag {
                Ok(flag) => flags.push(flag.into_string().unwrap()),
                Err(what) => wrong.push((line, format!("{from}: {what}"))),
            }
        }
        wrong.sort();
        (flags, wrong.into_iter().map(|(_, what)| what).collect())
    }

    #[test]
    fn a_value_is_written_as_toml_has_its_kind() {
        let (given, wrong) = read(
            "listen = ':80'\npublish-rate = 0x1_0\nephemeral = true\ndrain-delay = 1.5\n\
             host = [\n  'a',\n  'b', # twice\n]\nstun = 'stun:a'\ndata = '5'\n",
        );
        assert_eq!(wrong, [""; 0]);
        assert_eq!(
            given,
            [
                "--listen=:80",
                "--publish-rate=16",
                "--ephemeral",
                "--drain-delay=1.5",
                "--host=a",
                "--host=b",
                "--stun=stun:a",
                "--data=5"
            ]
        );
        let (given, wrong) = read(
            "data = 5\npublish-rate = '16'\nephemeral = 'yes'\nlisten = [':80']\nhost = ['a', 5,\n\
             1979-05-27, ['b']]\nlog.x = 1\n",
        );
        assert_eq!(given, ["--host=a", "--host=5"]);
        assert_eq!(
            wrong,
            [
                "f:1: data: it is a text, in quotes",
                "f:2: publish-rate: it is a number, not in quotes",
                "f:3: ephemeral: it is true or false",
                "f:4: listen: it takes one value, and no array",
                "f:6: host: it takes one value, and no array",
                "f:6: host: it takes one value, and no datetime",
                "f:7: log: it takes one value, and no table",
            ]
        );
    }

    #[test]
    fn what_is_no_setting_is_told_with_what_it_may_have_been() {
        for (key, what) in [
            ("publish_rate", "there is no such setting; there is `publish-rate`"),
            ("config", "there is no such setting"),
            ("confg", "there is no such setting"),
            ("help", "there is no such setting"),
            ("version", "there is no such setting"),
            ("command", "there is no such setting"),
            ("expires-in", "there is no such setting"),
            ("''", "there is no such setting"),
        ] {
            let (given, wrong) = read(&format!("{key} = true"));
            assert_eq!(
                (given.len(), wrong),
                (0, vec![format!("f:1: {}: {what}", key.trim_matches('\''))])
            );
        }
        assert_eq!(read("[nginx]\nlisten = ':80'").1, ["f:1: nginx: there is no such setting"]);
    }

    #[test]
    fn a_key_that_is_there_twice_is_told_beside_the_rest() {
        let (given, wrong) = read("listen = ':80'\nlisten = ':81'\nhots = 'a'\n");
        assert_eq!(given, ["--listen=:80"]);
        let twice = "f:2: listen = ':81': duplicate key";
        assert_eq!(wrong, [twice, "f:3: hots: there is no such setting; there is `host`"]);
    }

    #[test]
    fn what_is_no_toml_is_told_once_for_each_line_or_value_and_the_rest_is_not_judged() {
        let quoted = "string values must be quoted, expected literal string";
        for (text, expected) in [
            ("nonsense", vec!["f:1: nonsense: key with no value, expected `=`".to_owned()]),
            (
                "hots = 1\ndata = 'x\n",
                vec!["f:2: data: invalid literal string, expected `'`".to_owned()],
            ),
            (
                "\n\nhost = [ 'a', b\n 'c', d ]\nlog = = 5\nhost = []\n",
                vec![
                    format!("f:3: host: {quoted}"),
                    "f:5: log = = 5: extra `=`, expected nothing".to_owned(),
                    "f:6: host = []: duplicate key".to_owned(),
                ],
            ),
        ] {
            assert_eq!(read(text), (Vec::new(), expected));
        }
    }
}
