//! What so many people cost in hubs, servers of NATS, bytes and money: what each thing costs, times how often it happens.
//!
//! What is assumed can be told otherwise. `docs/capacity.md` has what comes of it, and a test that it still does.

use clap::Args;

use crate::{
    Result,
    model::{Costs, Load},
    report::{Cell, Report, figure, scaled, short},
    used::Used,
};

/// What is assumed.
#[derive(Debug, Clone, Args)]
pub(crate) struct Assumed {
    /// How many are online
    #[arg(long, value_delimiter = ',', default_values_t = [1e4, 1e6, 1e8])]
    people: Vec<f64>,
    /// Messages that one of them says a minute
    #[arg(long, default_value_t = 1.0)]
    a_minute: f64,
    /// How often one of them comes anew, an hour
    #[arg(long, default_value_t = 2.0)]
    an_hour: f64,
    /// How many are in one room
    #[arg(long, default_value_t = 50.0)]
    room: f64,
    /// Messages a room has in memory
    #[arg(long, default_value_t = 200.0)]
    kept: f64,
    /// Cores of a machine
    #[arg(long, default_value_t = 4.0)]
    cores: f64,
    /// GiB of memory of a machine
    #[arg(long, default_value_t = 16.0)]
    memory: f64,
    /// How busy they may be, and how full: a part of 1
    #[arg(long, default_value_t = 0.5)]
    busy: f64,
    /// Connections a hub may have (`--connections`)
    #[arg(long, default_value_t = 50_000.0)]
    connections: f64,
    /// Rooms a hub may have
    #[arg(long, default_value_t = 10_000.0)]
    rooms: f64,
    /// Messages a second that one stream may have
    #[arg(long, default_value_t = 5_000.0)]
    stream: f64,
    /// What a core costs an hour
    #[arg(long, default_value_t = 0.01)]
    core_hour: f64,
    /// What a GB costs that goes out
    #[arg(long, default_value_t = 0.01)]
    gigabyte: f64,
}

/// What that comes to.
#[derive(Debug)]
struct Need {
    load: Load,
    /// A second, and in memory.
    used: Used,
    /// Why there have to be so many hubs.
    by: &'static str,
    /// Machines for servers of NATS.
    servers: f64,
    streams: f64,
}

/// Hours and seconds of a month.
const HOURS: f64 = 730.0;
const SECONDS: f64 = HOURS * 3_600.0;

impl Assumed {
    /// What so many people need; with all of a room at one hub, or each of them at any.
    fn need(&self, costs: &Costs, people: f64, is_together: bool) -> Need {
        let (rooms, messages) = (people / self.room, people * self.a_minute / 60.0);
        let with = |hubs: f64| Load {
            hubs,
            people,
            rooms,
            hubs_a_room: if is_together { 1.0 } else { spread(self.room, hubs) },
            kept: self.kept,
            messages,
            deliveries: messages * self.room,
            joins: people * self.an_hour / 3_600.0,
        };
        let cores = self.cores * self.busy - costs.hub.hubs / 1e6;
        let memory = self.memory * self.busy * 1024.0 * 1024.0 - costs.hub.memory;
        let (mut hubs, mut by) = (1.0, "one will do");
        loop {
            // More hubs are more to do for each room.
            let load = with(hubs);
            let used = costs.of(&load) - costs.hub * hubs;
            let wanted = [
                ("processor", used.hubs / 1e6 / cores),
                ("memory", used.memory / memory),
                ("connections", people / self.connections),
                ("rooms", rooms * load.hubs_a_room / self.rooms),
            ];
            let most = wanted.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
            match most {
                // Each would have more to do for the others than it can.
                Some((_, most)) if most > people => {
                    (hubs, by) = (f64::NAN, "none is enough");
                    break;
                }
                Some((what, most)) if most.ceil() > hubs => (hubs, by) = (most.ceil(), what),
                _ => break,
            }
        }
        let load = with(hubs);
        let used = costs.of(&load);
        // A cluster has three at the least.
        let servers = (used.nats / 1e6 / (self.cores * self.busy)).ceil().clamp(3.0, f64::MAX);
        Need { load, used, by, servers, streams: (messages / self.stream).ceil() }
    }

    /// All of it as a table: a column for so many people, another for the same where all of a room are at one hub.
    fn table(&self, costs: &Costs) -> (Vec<String>, Vec<Vec<Cell>>) {
        let mut columns = vec!["people".to_owned()];
        let mut needs = Vec::new();
        for people in &self.people {
            for (is_together, how) in [(false, "any hub"), (true, "a hub a room")] {
                columns.push(format!("{}, {how}", short(*people)));
                needs.push(self.need(costs, *people, is_together));
            }
        }
        let part = |need: &Need, costs: Costs| costs.of(&need.load).hubs / 1e6;
        let machines = |need: &Need| (need.load.hubs + need.servers) * self.cores;
        let rent = |need: &Need| machines(need) * self.core_hour * HOURS;
        let traffic = |need: &Need| need.used.to_clients * SECONDS / 1e9 * self.gigabyte;
        let none = Costs::default;
        type Told<'a> = (&'static str, Box<dyn Fn(&Need) -> Cell + 'a>);
        let told: Vec<Told<'_>> = vec![
            ("messages a second", Box::new(|need| scaled(need.load.messages))),
            ("deliveries a second", Box::new(|need| scaled(need.load.deliveries))),
            ("hubs", Box::new(|need| scaled(need.load.hubs))),
            ("… so many for their", Box::new(|need| need.by.into())),
            ("hubs a room is at", Box::new(|need| figure(need.load.hubs_a_room, 1))),
            ("cores of hubs", Box::new(|need| scaled(need.used.hubs / 1e6))),
            (
                "… for readers",
                Box::new(move |need| {
                    scaled(part(need, Costs { delivery: costs.delivery, ..none() }))
                }),
            ),
            (
                "… for copies at other hubs",
                Box::new(move |need| scaled(part(need, Costs { copy: costs.copy, ..none() }))),
            ),
            (
                "… for what hubs tell each other of rooms",
                Box::new(move |need| {
                    let Costs { beat, counted, .. } = *costs;
                    scaled(part(need, Costs { beat, counted, ..none() }))
                }),
            ),
            ("memory of hubs, GiB", Box::new(|need| scaled(need.used.memory / 1024.0 / 1024.0))),
            ("cores of NATS", Box::new(|need| scaled(need.used.nats / 1e6))),
            ("servers of NATS", Box::new(|need| scaled(need.servers))),
            ("streams", Box::new(|need| scaled(need.streams))),
            ("hubs to NATS, bytes a second", Box::new(|need| scaled(need.used.to_nats))),
            ("NATS to hubs", Box::new(|need| scaled(need.used.from_nats))),
            ("NATS to NATS", Box::new(|need| scaled(need.used.between))),
            ("hubs to people", Box::new(|need| scaled(need.used.to_clients))),
            ("on all disks, bytes a day", Box::new(|need| scaled(need.used.disks * 86_400.0))),
            ("machines, € a month", Box::new(move |need| scaled(rent(need)))),
            ("traffic, € a month", Box::new(move |need| scaled(traffic(need)))),
            (
                "€ a month for 1,000 people",
                Box::new(move |need| {
                    figure((rent(need) + traffic(need)) / need.load.people * 1e3, 2)
                }),
            ),
        ];
        let rows = told.into_iter().map(|(what, tell)| {
            std::iter::once(what.into()).chain(needs.iter().map(tell)).collect()
        });
        let rows = rows.collect();
        (columns, rows)
    }
}

/// At how many of so many hubs somebody is, of so many people who are each at any of them.
fn spread(people: f64, hubs: f64) -> f64 {
    hubs * (1.0 - (1.0 - 1.0 / hubs).powf(people))
}

/// Tells what so many people need.
pub(crate) fn run(report: &mut Report, assumed: &Assumed) -> Result {
    let costs = Costs::written()?;
    report.table("What each thing costs hubs and NATS", &Costs::COLUMNS);
    costs.rows().for_each(|row| report.row(row));
    let (columns, rows) = assumed.table(&costs);
    let columns: Vec<_> = columns.iter().map(String::as_str).collect();
    report.table("What people who are online need", &columns);
    rows.into_iter().for_each(|row| report.row(row));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Told {
        #[command(flatten)]
        assumed: Assumed,
    }

    fn assumed() -> Assumed {
        Told::parse_from([""]).assumed
    }

    #[test]
    fn each_of_a_few_is_at_a_hub_of_their_own_among_many() {
        assert_eq!(spread(50.0, 1.0), 1.0);
        assert!((spread(2.0, 2.0) - 1.5).abs() < 1e-9);
        assert!((spread(50.0, 1e6) - 50.0).abs() < 0.01);
    }

    #[test]
    fn there_are_enough_hubs_for_what_is_needed_most() {
        let assumed = assumed();
        let costs = Costs { delivery: Used { hubs: 10.0, ..Used::default() }, ..Costs::default() };
        let need = assumed.need(&costs, 1e6, true);
        // 833,333 deliveries of 10 µs are 8.3 cores; half of four are used.
        assert_eq!((need.load.hubs, need.by), (20.0, "connections"));
        let busy = Assumed { a_minute: 10.0, ..assumed };
        let need = busy.need(&costs, 1e6, true);
        assert_eq!((need.load.hubs, need.by), (42.0, "processor"));
    }

    #[test]
    fn where_hubs_have_more_to_do_for_each_other_than_they_can_none_is_enough() {
        let costs = Costs { beat: Used { hubs: 10.0, ..Used::default() }, ..Costs::default() };
        let need = assumed().need(&costs, 1e8, false);
        assert_eq!(need.by, "none is enough");
        assert_eq!(scaled(need.load.hubs).shown(), "–");
        assert!(assumed().need(&costs, 1e5, false).load.hubs > 1.0);
    }

    #[test]
    fn the_document_says_what_the_model_says() {
        let document = include_str!("../../docs/capacity.md");
        let line = |cells: Vec<&str>| format!("| {} |", cells.join(" | "));
        let costs = Costs::written().unwrap();
        let (columns, needs) = assumed().table(&costs);
        let rows: Vec<_> = costs.rows().chain(needs).collect();
        let told = rows.iter().map(|row| line(row.iter().map(Cell::shown).collect()));
        for told in std::iter::once(line(columns.iter().map(String::as_str).collect())).chain(told)
        {
            assert!(document.contains(&told), "it does not say: {told}");
        }
    }
}
