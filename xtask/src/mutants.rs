//! `cargo xtask mutants`: would the tests notice if the code were wrong?
//!
//! [cargo-mutants](https://mutants.rs) changes one thing at a time and runs the crate's own tests. A change that no test notices
//! is a survivor; docs/mutants.md names those that may live, with the reason. The rule to keep: a reason says why nothing
//! could notice, or why noticing is not worth a test, never that the test is missing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::step::{Result, cargo, cargo_has, root, step};

/// What is decided in Hubbub is decided here.
const CRATES: [&str; 3] = ["common", "hub", "client"];

/// How many of a hundred changes the tests must notice.
const ENOUGH: usize = 95;

/// Tries every change in these crates, or in all that decide something.
pub(crate) fn run(crates: &[&str]) -> Result {
    if !cargo_has("mutants") {
        return Err("install it first: cargo install cargo-mutants --locked".to_owned());
    }
    let list = root().join("docs/mutants.md");
    let listed = survivors(&read(&list)?);
    let mut found = Vec::new();
    for name in if crates.is_empty() { &CRATES } else { crates } {
        let dir = step(&format!("mutants of {name}"), || try_all(name))?;
        found.push((*name, Outcome::read(&dir)?));
    }
    println!("\n| crate | viable | caught | percent | survivors | of them listed | unviable |");
    println!("|---|---|---|---|---|---|---|");
    let mut failed = false;
    for (name, outcome) in &found {
        let known = outcome.missed.iter().filter(|one| listed.contains(*one)).count();
        println!(
            "| {name} | {} | {} | {:.1} | {} | {known} | {} |",
            outcome.viable(),
            outcome.caught,
            outcome.percent(),
            outcome.missed.len(),
            outcome.unviable
        );
        failed |= known < outcome.missed.len() || outcome.caught * 100 < ENOUGH * outcome.viable();
    }
    println!();
    for (name, outcome) in &found {
        for one in outcome.missed.iter().filter(|one| !listed.contains(*one)) {
            println!("survived: {one}");
        }
        let own = format!("{name}/");
        for one in
            listed.iter().filter(|one| one.starts_with(&own) && !outcome.missed.contains(one))
        {
            println!("listed, but caught or gone: {one}");
        }
    }
    if failed {
        let list = list.strip_prefix(root()).unwrap_or(&list).display();
        return Err(format!("fewer than {ENOUGH} % were caught, or a survivor is not in {list}"));
    }
    Ok(())
}

/// Runs cargo-mutants over one crate and returns where it wrote what it found.
fn try_all(name: &str) -> Result<PathBuf> {
    let out = root().join("target/mutants").join(name);
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let status = cargo()
        .args(["mutants", "--package", name, "--test-package", name, "--all-features"])
        .args(["--jobs", "1", "--minimum-test-timeout", "20", "--timeout-multiplier", "3"])
        .arg("--output")
        .arg(&out)
        .status()
        .map_err(|error| format!("cargo mutants: {error}"))?;
    // 2: some were missed; 3: some ran out of time, which is being caught.
    match status.code() {
        Some(0 | 2 | 3) => Ok(out.join("mutants.out")),
        _ => Err(format!("cargo mutants failed ({status}); its logs are in {}", out.display())),
    }
}

/// What became of the changes in one crate.
struct Outcome {
    caught: usize,
    missed: Vec<String>,
    unviable: usize,
}

impl Outcome {
    fn read(dir: &Path) -> Result<Self> {
        let lines = |file: &str| -> Result<Vec<String>> {
            Ok(read(&dir.join(file))?.lines().map(without_place).collect())
        };
        Ok(Self {
            caught: lines("caught.txt")?.len() + lines("timeout.txt")?.len(),
            missed: lines("missed.txt")?,
            unviable: lines("unviable.txt")?.len(),
        })
    }

    /// Those that compiled.
    fn viable(&self) -> usize {
        self.caught + self.missed.len()
    }

    fn percent(&self) -> f64 {
        if self.viable() == 0 {
            return 100.0;
        }
        self.caught as f64 * 100.0 / self.viable() as f64
    }
}

/// The changes named in a page: what stands in backticks in the first column of its table, where `|` is written `\|`.
fn survivors(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name.replace(r"\|", "|"))
        .collect()
}

/// `hub/src/room.rs:12:5: replace …` without line and column: they move with every edit.
fn without_place(line: &str) -> String {
    match line.split_once(": ") {
        Some((place, change)) => {
            let file = place.split(':').next().unwrap_or(place);
            format!("{file}: {change}")
        }
        None => line.to_owned(),
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_is_the_same_wherever_its_line_has_moved() {
        let page = "Words.\n\n| mutant | reason |\n|---|---|\n\
                    | `hub/src/room.rs: replace \\|\\| with && in Room::put` | both are right |\n";
        let listed = survivors(page);
        let line = "hub/src/room.rs:120:17: replace || with && in Room::put";
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), [without_place(line)]);
    }
}
