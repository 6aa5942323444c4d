//! What was measured as drawings: bars, one under the other, as SVG.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;

use crate::Result;

/// A drawing of the tables that have all of these columns.
struct Plot {
    file: &'static str,
    title: &'static str,
    value: &'static str,
    /// Bars that are the same in these stand together, on a scale of their own.
    groups: &'static [&'static str],
    labels: &'static [&'static str],
}

const PLOTS: [Plot; 4] = [
    Plot {
        file: "fan-out.svg",
        title: "Processor time of the server for a delivery, µs",
        value: "µs",
        groups: &["readers", "at once"],
        labels: &["server", "road"],
    },
    Plot {
        file: "memory.svg",
        title: "Memory for each quiet client, KiB",
        value: "KiB a client, idle",
        groups: &[],
        labels: &["server", "road"],
    },
    Plot {
        file: "durable.svg",
        title: "Messages kept a second, each acknowledged to a publisher that waits for it",
        value: "acked/s",
        groups: &["publishers"],
        labels: &["server", "--sync"],
    },
    Plot {
        file: "returning.svg",
        title: "Clients come back after a restart: processor time until all have what they missed, s",
        value: "server CPU, s",
        groups: &["missed"],
        labels: &["server", "clients"],
    },
];

const WIDTH: usize = 760;
const LABEL: usize = 270;
const ROW: usize = 20;

/// Draws what there is to draw of `tables` into `dir`.
pub(crate) fn draw(tables: &[Value], dir: &Path) -> Result {
    fs::create_dir_all(dir)?;
    for plot in &PLOTS {
        let groups = plot.groups(tables);
        if !groups.is_empty() {
            fs::write(dir.join(plot.file), plot.svg(&groups))?;
        }
    }
    Ok(())
}

/// A heading, and the bars under it.
type Group = (String, Vec<(String, f64)>);

impl Plot {
    fn groups(&self, tables: &[Value]) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for table in tables {
            let column =
                |name: &str| table["columns"].as_array()?.iter().position(|column| column == name);
            let columns =
                |names: &[&str]| names.iter().map(|name| column(name)).collect::<Option<Vec<_>>>();
            let (Some(value), Some(by), Some(labels)) =
                (column(self.value), columns(self.groups), columns(self.labels))
            else {
                continue;
            };
            for row in table["rows"].as_array().into_iter().flatten() {
                let Some(value) = row[value].as_f64() else { continue };
                let heading = by.iter().zip(self.groups);
                let heading = heading.map(|(n, name)| format!("{name}: {}", word(&row[*n])));
                let heading = heading.collect::<Vec<_>>().join(", ");
                let label = labels.iter().map(|n| word(&row[*n])).collect::<Vec<_>>().join(" · ");
                match groups.iter_mut().find(|(known, _)| *known == heading) {
                    Some((_, bars)) => bars.push((label, value)),
                    None => groups.push((heading, vec![(label, value)])),
                }
            }
        }
        groups
    }

    fn svg(&self, groups: &[Group]) -> String {
        let rows: usize = groups.iter().map(|(_, bars)| bars.len() + 2).sum();
        let height = (rows + 2) * ROW;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"12\" y=\"24\" font-weight=\"600\">{title}</text>\n",
            title = escaped(self.title)
        );
        let mut y = 2 * ROW;
        for (heading, bars) in groups {
            let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
            y += ROW;
            // Writing to a string does not fail.
            let _ =
                writeln!(svg, "<text x=\"12\" y=\"{y}\" fill=\"#555\">{}</text>", escaped(heading));
            for (label, value) in bars {
                y += ROW;
                let ours = label.starts_with("Hubbub");
                let (fill, length) = (
                    if ours { "#2457d6" } else { "#9aa4b2" },
                    value / most * (WIDTH - LABEL - 80) as f64,
                );
                let _ = writeln!(
                    svg,
                    "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text><rect x=\"{LABEL}\" y=\"{}\" \
                     width=\"{length:.1}\" height=\"14\" fill=\"{fill}\"/><text x=\"{:.1}\" y=\"{y}\">{}</text>",
                    LABEL - 8,
                    escaped(label),
                    y - 12,
                    LABEL as f64 + length + 6.0,
                    shown(*value),
                );
            }
            y += ROW;
        }
        svg + "</svg>\n"
    }
}

/// A cell, as it is read in a drawing: a binary is Hubbub, wherever it lies.
fn word(cell: &Value) -> String {
    let word = cell.as_str().map_or_else(|| cell.to_string(), str::to_owned);
    match word.split_once("hubbub") {
        Some((path, rest)) if path.ends_with('/') => format!("Hubbub{rest}"),
        _ => word,
    }
}

fn shown(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "")
}
