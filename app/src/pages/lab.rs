//! The lab: what to race, and what came of it. A recorded run is there before, and without, one's own.
//!
//! `form` is what to race, `results` what came of it in numbers, `plots` and `diagram` the same to look at, `road` what is
//! said of each road. The rule to keep: nothing is sent until somebody presses a button; an address is no order.

mod diagram;
mod form;
mod plots;
mod results;
mod road;

use futures_util::future::{AbortHandle, abortable};
use lab::{Clamped, Failed, Plan, Race, Road};
use leptos::{prelude::*, task::spawn_local};

use self::{form::Form, plots::Plots, results::Results, road::Roads};
use crate::{
    base, browser,
    components::{Bar, Preferences},
    page::{LabView, PageData},
    shell::strings,
    time,
};

/// What happens in the lab; cheap to copy.
#[derive(Clone, Copy)]
struct Lab {
    plan: RwSignal<Plan>,
    clamped: RwSignal<Vec<Clamped>>,
    race: RwSignal<Race>,
    is_recorded: RwSignal<bool>,
    /// The roads that are being run.
    running: RwSignal<Vec<Road>>,
    stage: RwSignal<Stage>,
    /// Somebody has let this page answer another one.
    answers: RwSignal<bool>,
    /// What ends whatever is going on.
    going: StoredValue<Option<AbortHandle>>,
    view: StoredValue<LabView>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Idle,
    Running,
    Over,
    Stopped,
}

impl Lab {
    fn new(view: LabView) -> Self {
        Self {
            plan: RwSignal::new(view.plan.clone()),
            clamped: RwSignal::new(view.clamped.clone()),
            race: RwSignal::new(view.recorded.clone()),
            is_recorded: RwSignal::new(true),
            running: RwSignal::new(Vec::new()),
            stage: RwSignal::new(Stage::Idle),
            answers: RwSignal::new(false),
            going: StoredValue::new(None),
            view: StoredValue::new(view),
        }
    }

    /// Sends back what another page sends, from now on; not while something is raced here.
    fn answer(self) {
        self.answers.set(true);
        if self.stage.get_untracked() != Stage::Running {
            self.wait();
        }
    }

    /// Answers, if somebody has let it: two that are connected get to know each other's addresses, and a link is no consent.
    fn wait(self) {
        let (meeting, ice) = self.view.with_value(|view| (view.meeting.clone(), view.ice.clone()));
        if let Some(meeting) = meeting.filter(|_| self.answers.get_untracked()) {
            self.go(browser::echo(meeting, ice));
        }
    }

    fn start(self, plan: Plan, clamped: Vec<Clamped>) {
        let meeting = self.view.with_value(|view| view.meeting.clone());
        browser::show_address(&self.address(&plan));
        self.clamped.set(clamped);
        self.plan.set(plan.clone());
        self.is_recorded.set(false);
        self.stage.set(Stage::Running);
        let race = Race {
            v: 1,
            plan: plan.clone(),
            at: browser::now() as u64,
            by: browser::browser_name(),
            tick: browser::tick(),
            outcomes: Vec::new(),
        };
        self.race.set(race);
        let show = move |live: browser::Live| {
            self.running.set(live.running);
            self.race.update(|race| race.outcomes = live.outcomes);
        };
        let ice = self.view.with_value(|view| view.ice.clone());
        self.go(async move {
            browser::race(plan, ice, meeting, show).await;
            self.stage.set(Stage::Over);
            self.wait();
        });
    }

    /// Ends the race; what was measured stays.
    fn stop(self) {
        self.end();
        let stopped = self.running.get_untracked();
        self.race.update(|race| {
            for outcome in race.outcomes.iter_mut().filter(|of| stopped.contains(&of.road)) {
                outcome.failed = Some(Failed::Stopped);
            }
        });
        self.running.set(Vec::new());
        self.stage.set(Stage::Stopped);
        self.wait();
    }

    /// Does this in the place of what is going on.
    fn go(self, what: impl Future<Output = ()> + 'static) {
        self.end();
        let (what, going) = abortable(what);
        self.going.set_value(Some(going));
        spawn_local(async move {
            // Whether it came to its end is told by itself.
            let _ = what.await;
        });
    }

    fn end(self) {
        if let Some(going) = self.going.try_update_value(Option::take).flatten() {
            going.abort();
        }
    }

    /// The address that asks for this plan.
    fn address(self, plan: &Plan) -> String {
        let code = self.view.with_value(|view| meeting_code(view).map(str::to_owned));
        let with = code.map_or(String::new(), |code| format!("&with={code}"));
        base::path(&format!("/lab?{}{with}", plan.query()))
    }
}

/// What the address calls the meeting: the room's name behind the dash.
fn meeting_code(view: &LabView) -> Option<&str> {
    view.meeting.as_ref()?.as_str().split_once('-').map(|(_, code)| code)
}

#[component]
pub(crate) fn LabPage(data: PageData, view: LabView) -> impl IntoView {
    let strings = strings();
    let lab = Lab::new(view);
    provide_context(lab);
    let recorded = move || {
        lab.is_recorded.get().then(|| {
            let race = lab.race.read();
            (strings.lab.recorded)(&time::iso(race.at)[..10], &race.by)
        })
    };
    view! {
        <div class="page">
            <Bar>
                <h1 class="room-title">{strings.lab.title}</h1>
                <span class="grow"></span>
                <Preferences theme=data.theme path=data.path/>
            </Bar>
            <main class="lab">
                <p class="lead">{strings.lab.lead}</p>
                <Form/>
                <noscript>
                    <p class="no-script">{strings.lab.no_script}</p>
                </noscript>
                <p class="recorded" hidden=move || !lab.is_recorded.get()>{recorded}</p>
                <Results/>
                <Plots/>
                <Roads/>
            </main>
        </div>
    }
}
