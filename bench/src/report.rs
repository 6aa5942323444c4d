//! What a run has measured: tables as text while it goes on, and all of it as JSON where that is asked for.

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::{Map, Value, json};

use crate::{Result, plots};

#[derive(Debug, Default)]
pub(crate) struct Report {
    tables: Vec<Value>,
}

/// One figure or word of a table.
#[derive(Debug)]
pub(crate) struct Cell {
    shown: String,
    value: Value,
}

/// A figure, shown with so many digits behind the point; one that is none is a dash.
pub(crate) fn figure(value: f64, digits: usize) -> Cell {
    match value.is_finite() {
        true => Cell { shown: format!("{value:.digits$}"), value: value.into() },
        false => Cell { shown: "–".to_owned(), value: Value::Null },
    }
}

/// What so many in a hundred of these times, which are sorted, do not exceed, in milliseconds.
pub(crate) fn millis(times: &[Duration], percent: usize) -> f64 {
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// A number of things.
pub(crate) fn count(value: usize) -> Cell {
    Cell { shown: value.to_string(), value: value.into() }
}

/// A figure in two or three digits, with a letter for thousands.
pub(crate) fn short(value: f64) -> String {
    let (value, letter) = match value.abs() {
        ..1e3 => (value, ""),
        1e3..1e6 => (value / 1e3, " k"),
        1e6..1e9 => (value / 1e6, " M"),
        1e9..1e12 => (value / 1e9, " G"),
        _ => (value / 1e12, " T"),
    };
    let is_small = value.abs() < 10.0 && value.fract().abs() > 0.05;
    format!("{value:.*}{letter}", usize::from(is_small))
}

/// The same as a cell.
pub(crate) fn scaled(value: f64) -> Cell {
    match value.is_finite() {
        true => Cell { shown: short(value), value: value.into() },
        false => figure(value, 0),
    }
}

impl Cell {
    /// As it is shown.
    #[cfg(test)]
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

impl From<&str> for Cell {
    fn from(word: &str) -> Self {
        Self { shown: word.to_owned(), value: word.into() }
    }
}

impl Report {
    /// Begins a table.
    pub(crate) fn table(&mut self, title: &str, columns: &[&str]) {
        println!("\n{title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
        self.tables.push(json!({"title": title, "columns": columns, "rows": []}));
    }

    /// Adds a row to the table that was begun last.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let (shown, values): (Vec<_>, Vec<_>) =
            cells.into_iter().map(|cell| (cell.shown, cell.value)).unzip();
        println!("| {} |", shown.join(" | "));
        let rows = self.tables.last_mut().and_then(|table| table["rows"].as_array_mut());
        rows.into_iter().for_each(|rows| rows.push(Value::Array(values.clone())));
    }

    /// Draws what can be drawn of it.
    pub(crate) fn draw(&self, dir: &Path) -> Result {
        plots::draw(&self.tables, dir)
    }

    /// Writes all of it, with what it was measured on.
    pub(crate) fn write(&self, path: &Path, servers: &[String]) -> Result {
        let report = json!({
            "machine": machine(),
            "versions": versions(servers),
            "tables": self.tables,
        });
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

/// What this runs on, as far as the system tells.
fn machine() -> Value {
    let line = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key).map(str::to_owned));
        line.map(|line| line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    };
    json!({
        "processor": line("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": line("/proc/meminfo", "MemTotal"),
        "kernel": line("/proc/sys/kernel/osrelease", ""),
    })
}

/// Of what was measured.
fn versions(servers: &[String]) -> Value {
    let told = |program: &str| {
        let told = Command::new(program).arg("--version").output().ok()?;
        Some(String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    let mut versions = Map::new();
    for program in servers.iter().map(String::as_str).chain(["node", "python3"]) {
        versions.insert(program.to_owned(), told(program).into());
    }
    versions.insert("sqlite".to_owned(), rusqlite::version().into());
    Value::Object(versions)
}
