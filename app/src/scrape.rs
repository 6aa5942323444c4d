//! What a hub says of itself at `/metrics` ([text format](https://prometheus.io/docs/instrumenting/exposition_formats/)),
//! read as far as the operator's page draws it.

use std::collections::HashMap;

/// All series at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scrape {
    /// Milliseconds on a clock that is never set back.
    at: f64,
    series: HashMap<String, f64>,
}

impl Scrape {
    /// Reads a text; lines that can't be read are left out.
    pub(crate) fn parse(text: &str, at: f64) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self { at, series: series.collect() }
    }

    /// The series of this name, with the label they have, if they have one.
    fn of<'s>(&'s self, name: &'s str) -> impl Iterator<Item = (&'s str, f64)> {
        self.series.iter().filter_map(move |(series, value)| {
            let rest = series.strip_prefix(name)?;
            let label = rest.strip_prefix('{').and_then(|rest| rest.split('"').nth(1));
            (rest.is_empty() || label.is_some()).then(|| (label.unwrap_or_default(), *value))
        })
    }

    /// The value, summed up over all labels.
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.of(name).map(|(_, value)| value).sum()
    }

    /// The value with this label.
    pub(crate) fn labelled(&self, name: &str, label: &str) -> f64 {
        self.of(name).find(|(of, _)| *of == label).map_or(0.0, |(_, value)| value)
    }

    /// By how much it has grown in a second, since `before`. A hub that was started anew began at 0.
    pub(crate) fn rate(&self, before: &Self, name: &str) -> f64 {
        let (was, is) = (before.value(name), self.value(name));
        let grown = if is < was { is } else { is - was };
        grown / ((self.at - before.at) / 1_000.0).max(0.001)
    }

    /// Below which value a part `q` of those lies that came since `before`: between two bounds of the histogram as
    /// `histogram_quantile` of Prometheus has it. Nothing, if none came.
    pub(crate) fn quantile(&self, before: &Self, name: &str, q: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let mut counts: Vec<_> = self
            .of(&bucket)
            .filter_map(|(bound, count)| {
                let grown = count - before.labelled(&bucket, bound);
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, grown))
            })
            .collect();
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted = counts.last()?.1 * q;
        if wanted <= 0.0 {
            return None;
        }
        let (mut from, mut below) = (0.0, 0.0);
        for (bound, count) in counts {
            if count >= wanted {
                // Beyond the last bound nothing is known but that it is beyond.
                return Some(match bound.is_finite() {
                    true => from + (bound - from) * (wanted - below) / (count - below),
                    false => from,
                });
            }
            (from, below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "# TYPE hubbub_sessions gauge\nhubbub_sessions{transport=\"poll\"} 1\n\
        hubbub_sessions{transport=\"websocket\"} 2\n\nhubbub_published_total 10\nnonsense\n\
        hubbub_publish_seconds_bucket{le=\"0.001\"} 5\nhubbub_publish_seconds_bucket{le=\"0.01\"} 5\n\
        hubbub_publish_seconds_bucket{le=\"+Inf\"} 5\nhubbub_publish_seconds_sum 0.1\n";

    #[test]
    fn values_are_summed_up_and_found_by_label() {
        let scrape = Scrape::parse(BEFORE, 0.0);
        assert_eq!(scrape.value("hubbub_sessions"), 3.0);
        assert_eq!(scrape.labelled("hubbub_sessions", "websocket"), 2.0);
        assert_eq!((scrape.value("hubbub_publish"), scrape.value("hubbub_rooms")), (0.0, 0.0));
    }

    #[test]
    fn rates_go_by_the_clock_and_over_restarts() {
        let (before, after) = (Scrape::parse(BEFORE, 1_000.0), "hubbub_published_total 30\n");
        let rate =
            |text: &str| Scrape::parse(text, 3_000.0).rate(&before, "hubbub_published_total");
        assert_eq!(rate(after), 10.0);
        assert_eq!(rate("hubbub_published_total 4\n"), 2.0);
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_of_what_came_since() {
        let before = Scrape::parse(BEFORE, 0.0);
        let after =
            BEFORE.replace("le=\"0.01\"} 5", "le=\"0.01\"} 15").replace("Inf\"} 5", "Inf\"} 15");
        let after = Scrape::parse(&after, 1_000.0);
        let name = "hubbub_publish_seconds";
        let half = after.quantile(&before, name, 0.5).unwrap_or_default();
        assert!((half - 0.0055).abs() < 1e-9, "{half}");
        assert_eq!(after.quantile(&after, name, 0.5), None);
        let beyond = BEFORE.replace("Inf\"} 5", "Inf\"} 25");
        assert_eq!(Scrape::parse(&beyond, 1.0).quantile(&before, name, 0.9), Some(0.01));
    }
}
