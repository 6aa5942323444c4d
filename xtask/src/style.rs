//! The style sheet: parts that become one file, as `style-bundle` has `cargo leptos` make it.

use std::{fs, path::PathBuf};

use crate::step::{Result, root};

/// The one part in which colours are written as they are.
const TOKENS: &str = "tokens.css";

/// `style/main.css`, with every part it imports in its place. Nothing but these imports is understood.
pub(crate) fn bundle() -> Result<String> {
    let mut whole = String::new();
    for line in read("main.css")?.lines() {
        match part(line) {
            Some(part) => whole.push_str(&read(part)?),
            None => whole.extend([line, "\n"]),
        }
    }
    Ok(whole)
}

/// Every part is imported, and no colour is written in any but the one that names them.
pub(crate) fn check() -> Result {
    let main = read("main.css")?;
    let parts: Vec<_> = main.lines().filter_map(part).collect();
    let files = fs::read_dir(dir()).map_err(|error| format!("style: {error}"))?;
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name != "main.css" && !parts.contains(&name.as_str()) {
            return Err(format!("style/main.css does not import {name}"));
        }
    }
    for part in parts.into_iter().filter(|part| *part != TOKENS) {
        if let Some((line, text)) =
            read(part)?.lines().enumerate().find(|(_, text)| has_color(text))
        {
            return Err(format!(
                "style/{part}:{}: a colour is named in {TOKENS}: {text}",
                line + 1
            ));
        }
    }
    Ok(())
}

fn part(line: &str) -> Option<&str> {
    line.strip_prefix("@import \"")?.strip_suffix("\";")
}

/// Whether a line of CSS has a colour in it, as digits or as a function of them.
fn has_color(line: &str) -> bool {
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_hexdigit).count();
    let is_value = line.contains(':') && line.split('#').skip(1).any(|rest| digits(rest) >= 3);
    is_value
        || ["rgb(", "hsl(", "oklch(", "light-dark("].iter().any(|function| line.contains(function))
}

fn read(name: &str) -> Result<String> {
    let path = dir().join(name);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn dir() -> PathBuf {
    root().join("style")
}
