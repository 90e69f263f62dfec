//! Runs a pipeline once on the stage of a test, in a private base folder that disappears afterwards.

use std::collections::BTreeMap;

use super::super::harness::write_files;
use super::super::interrupt::Interrupt;
use super::super::outcome::{Table, read_tables};
use super::super::private_folder::PrivateFolder;
use super::cases::Case;
use super::stage::{Stage, Staged};
use super::suite::{Planned, Theatre};
use crate::engine::InputTable;
use crate::executor::disk::Disk;
use crate::executor::supervisor::Supervisor;
use crate::grants::limits::Limits;
use crate::pipeline::StepId;
use crate::protocol::LogLevel;
use crate::run::reuse::Reusing;
use crate::run::states::States;
use crate::run::{self, Beginning, Line, Observer, Settings, Work, manifest};
use crate::secrets::scrubber::{Scrubbed, Scrubber};
use crate::session::{Base, Session, Status, StepRecord};
use crate::warning::Warning;

/// What came of a run. All text is redacted.
pub struct Played {
    pub steps: Vec<StepRecord>,
    /// The tables that the test looks at, by step and name.
    pub tables: BTreeMap<(String, String), Table>,
    /// The expected tables that come from files and SELECTs.
    pub expected: BTreeMap<(String, String), Table>,
    /// What steps that are not the pipeline's own are to people.
    pub words: BTreeMap<String, String>,
}

/// Runs a test.
///
/// # Errors
/// A [`Report`](crate::error::Report) if the test does not fit its pipeline, or the machine fails. A step that fails is part of what
/// came of the run.
pub fn play(theatre: &Theatre<'_>, case: &Case, planned: &Planned, interrupt: &Interrupt) -> anyhow::Result<Played> {
    // The step processes die with the thread that started them, which is this one.
    let line = Line::open();
    let _registered = interrupt.register(&line.say)?;
    let folder = PrivateFolder::create()?;
    let base = Base::open(folder.path())?;
    write_files(&base, &case.files)?;
    let stage = Stage { catalog: theatre.catalog, base: &base };
    let Staged { mut plan, expected, words } = stage.set(case, &planned.plan, &planned.unknown)?;
    let states = States::open(&base, &mut plan, None)?;
    let scrubber = Scrubber::new(plan.steps.iter().flat_map(|step| step.secrets.values().chain(&step.hidden)));
    let session = Session::create(&base, scrubber)?;
    let free = Disk::of(&base.dir).map_or(u64::MAX, |disk| disk.free);
    let settings = Settings {
        jobs: 2,
        most_jobs: 2,
        limits: Limits::DEFAULT.on_disk(&[Limits::OUTPUT, Limits::SPILL], free),
        require_confinement: theatre.require_confinement,
        reusing: Reusing::Off,
        test: None,
    };
    let record = manifest(&plan, &session.id, ("", ""), None, None);
    let work =
        Work { plan: &plan, states: &states, base: &base, session: &session, settings: &settings, selection: None };
    let manifest = run::run(&work, (record, Beginning::default()), line, &mut Silent, || Ok(()))?;
    let played = look(manifest.steps, case, &expected, &session, theatre.require_confinement);
    session.close();
    Ok(Played { words, ..played? })
}

/// Reads the tables that the test looks at, in one process.
fn look(
    steps: Vec<StepRecord>,
    case: &Case,
    expected: &BTreeMap<(String, String), StepId>,
    session: &Session,
    require_confinement: bool,
) -> anyhow::Result<Played> {
    let mut wanted = Vec::new();
    for step in steps.iter().filter(|step| step.status == Status::Success && case.test.expect.contains_key(&step.id)) {
        let id = StepId::new(&step.id)?;
        wanted.extend(step.tables.keys().map(|table| ((step.id.clone(), table.clone()), id.clone(), table.as_str())));
    }
    let looked_at = wanted.len();
    let is_made = |id: &StepId| steps.iter().any(|step| step.id == id.as_str() && step.status == Status::Success);
    wanted.extend(expected.iter().filter(|(_, id)| is_made(id)).map(|(place, id)| (place.clone(), id.clone(), "main")));
    let name = |number: usize| format!("t{number}");
    let inputs = wanted.iter().enumerate();
    let inputs: Vec<InputTable> =
        inputs.map(|(number, (_, id, table))| InputTable::new(&name(number), session.data_file(id), table)).collect();
    let mut read = if inputs.is_empty() {
        BTreeMap::new()
    } else {
        read_tables(inputs, require_confinement, &Supervisor::start()?)?
    };
    let (mut tables, mut expected_tables) = (BTreeMap::new(), BTreeMap::new());
    for (number, (place, ..)) in wanted.into_iter().enumerate() {
        let Some(table) = read.remove(&name(number)) else { continue };
        if number < looked_at {
            tables.insert(place, table)
        } else {
            expected_tables.insert(place, table)
        };
    }
    Ok(Played { steps, tables, expected: expected_tables, words: BTreeMap::new() })
}

/// Nobody watches a test.
struct Silent;

impl Observer for Silent {
    fn compiling(&mut self, _driver: &str) {}

    fn started(&mut self, _step: &str) {}

    fn progress(&mut self, _step: &str, _done: u64, _total: Option<u64>) {}

    fn log(&mut self, _step: &str, _level: LogLevel, _line: &Scrubbed<Warning>) {}

    fn ended(&mut self, _step: &StepRecord) {}
}
