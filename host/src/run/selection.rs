//! A run of some steps only (`--from`, `--only`): which of them run, and what an earlier session made of those that they need.
//!
//! All that is taken over comes from one session, so that it fits together. What a step with a state has read is delivered once:
//! see [`Selection::check_states`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ledger::{fingerprint, must_be_noted};
use super::reuse::made::{Made, Seal, record_name};
use super::states::States;
use crate::digest::sha256_of;
use crate::error::{Report, listed, nearest};
use crate::pipeline::StepId;
use crate::plan::{Plan, PlannedStep};
use crate::session::earlier::{Earlier, earlier};
use crate::session::{Base, Selected, find};

/// The steps that a command names.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A step, and every step that needs it, directly or indirectly.
    From(String),
    /// These steps alone.
    Only(Vec<String>),
}

/// What a run of some steps takes over, and what it leaves out.
#[derive(Debug)]
pub struct Selection {
    pub wanted: Wanted,
    /// The session whose results are taken over; none if no step needs any.
    pub session: Option<Arc<Earlier>>,
    pub taken: BTreeMap<StepId, Made>,
    /// The steps that have a step behind them which is left out: what they read is not delivered to all.
    pub undelivered: BTreeSet<StepId>,
}

impl Wanted {
    /// The ids of the steps that run.
    fn running(&self, plan: &Plan) -> Result<BTreeSet<StepId>, Report> {
        let known = |name: &str, option: &str| {
            let ids = || plan.steps.iter().map(|step| step.id.as_str());
            let found = plan.steps.iter().find(|step| step.id.as_str() == name).map(|step| step.id.clone());
            found.ok_or_else(|| {
                let report = Report::input(format!(
                    "`{option}` names the unknown step `{name}`; known steps: {}",
                    listed(ids())
                ));
                match nearest(name, ids()) {
                    Some(near) => report.hint(format!("did you mean `{near}`?")),
                    None => report,
                }
            })
        };
        match self {
            Self::From(name) => {
                let first = known(name, "--from")?;
                Ok(behind(plan, &first).into_iter().chain([first]).collect())
            }
            Self::Only(names) => names.iter().map(|name| known(name, "--only")).collect(),
        }
    }

    fn record(&self, session: Option<&Earlier>) -> Selected {
        let session = session.map(|session| session.id.clone());
        match self {
            Self::From(step) => Selected { from: Some(step.clone()), only: Vec::new(), session },
            Self::Only(steps) => Selected { from: None, only: steps.clone(), session },
        }
    }
}

/// The steps that need a step, directly or indirectly.
fn behind(plan: &Plan, first: &StepId) -> BTreeSet<StepId> {
    let mut behind = BTreeSet::new();
    // A step stands after those that it needs.
    for step in &plan.steps {
        if step.needs.iter().any(|need| need == first || behind.contains(need)) {
            behind.insert(step.id.clone());
        }
    }
    behind
}

impl Selection {
    /// Reduces a plan to the steps that run and those that are taken over: from the session called `named`, or from the latest one
    /// of the pipeline that has all that is needed.
    ///
    /// # Errors
    /// A [`Report`] if there is no such step or session, or what it has was made in another way.
    pub fn of(wanted: Wanted, plan: &mut Plan, base: &Base, named: Option<&str>) -> anyhow::Result<Self> {
        let running = wanted.running(plan)?;
        let stale: BTreeSet<StepId> = running.iter().flat_map(|id| behind(plan, id)).collect();
        let needed = needed(plan, &running, &stale)?;
        let seal = Seal::of(base)?;
        let source = Source { plan, base, seal: &seal, needed: &needed };
        let session = match named {
            Some(name) => Some(source.named(name)?),
            None if needed.is_empty() => None,
            None => Some(source.latest()?),
        };
        let mut taken = BTreeMap::new();
        for step in plan.steps.iter().filter(|step| !running.contains(&step.id) && !stale.contains(&step.id)) {
            let made = session.as_ref().and_then(|session| source.made(session, step));
            taken.extend(
                made.filter(|made| made.outcome.fingerprint == fingerprint(step)).map(|made| (step.id.clone(), made)),
            );
        }
        let whole = plan.clone();
        plan.steps.retain(|step| running.contains(&step.id) || taken.contains_key(&step.id));
        let is_kept = |id: &StepId| plan.steps.iter().any(|step| step.id == *id);
        let has_absent = |step: &&PlannedStep| behind(&whole, &step.id).iter().any(|id| !is_kept(id));
        let undelivered = plan.steps.iter().filter(has_absent).map(|step| step.id.clone()).collect();
        Ok(Self { wanted, session, taken, undelivered })
    }

    /// What the manifest says of it.
    pub fn record(&self) -> Selected {
        self.wanted.record(self.session.as_deref())
    }

    /// Refuses a run that would deliver rows twice, or lose some, because of the state of the step that read them.
    ///
    /// A state is committed once everything behind its step has succeeded. Rows that were read without that are read again by
    /// the next run, so no step may deliver them that cannot deliver them twice; and rows whose state has been committed have
    /// been delivered. Rows that were read before another run went on are out of order.
    ///
    /// # Errors
    /// A [`Report`] that names the steps.
    pub fn check_states(&self, plan: &Plan, states: &States) -> Result<(), Report> {
        for (place, step) in plan.steps.iter().enumerate().filter(|(_, step)| step.state.is_some()) {
            let runs = |id: &&StepId| !self.taken.contains_key(*id);
            let after = behind(plan, &step.id);
            let deliverer = after
                .iter()
                .filter(runs)
                .find(|id| plan.steps.iter().any(|step| step.id == **id && must_be_noted(step)));
            if let (true, Some(deliverer)) = (self.undelivered.contains(&step.id), deliverer) {
                return Err(Report::input(format!(
                    "step `{deliverer}` would deliver rows that the next run delivers again: the state of step `{}`, which reads \
                     them, is kept only if every step behind it runs",
                    step.id
                ))
                .hint(format!("run all of them: `--from {}`", step.id)));
            }
            let (Some(made), Some(session)) = (self.taken.get(&step.id), &self.session) else { continue };
            let now = states.earlier.get(&place);
            let digest = now.map(|state| sha256_of(state.state.get().as_bytes()));
            let is_unmoved = digest.as_deref() == made.outcome.continued_from.as_ref().map(|digest| digest.as_str());
            if is_unmoved {
                continue;
            }
            let is_committed = now
                .is_some_and(|now| now.session == session.id && made.outcome.state.as_deref() == Some(now.state.get()));
            if !is_committed {
                return Err(Report::input(format!(
                    "the state of step `{}` has changed since session {} read from it: its rows are no longer the next ones",
                    step.id, session.id
                ))
                .hint(format!("read them anew: `--from {}`, or run the whole pipeline", step.id)));
            }
            if let Some(deliverer) = deliverer {
                return Err(Report::input(format!(
                    "step `{deliverer}` would deliver again what session {} has delivered: step `{}` has kept its state",
                    session.id, step.id
                ))
                .hint(format!("read what is new: `--from {}`, or run the whole pipeline", step.id)));
            }
        }
        Ok(())
    }
}

/// The steps that do not run, and that running steps need.
fn needed(plan: &Plan, running: &BTreeSet<StepId>, stale: &BTreeSet<StepId>) -> Result<BTreeSet<StepId>, Report> {
    let mut needed = BTreeSet::new();
    for step in plan.steps.iter().filter(|step| running.contains(&step.id)) {
        for need in step.needs.iter().filter(|need| !running.contains(*need)) {
            if stale.contains(need) {
                return Err(Report::input(format!(
                    "step `{}` needs step `{need}`, which does not run although a step before it does",
                    step.id
                ))
                .hint(format!("run it too: `--only {need}`; or use `--from`")));
            }
            needed.insert(need.clone());
        }
    }
    Ok(needed)
}

/// Where what is needed may come from.
struct Source<'a> {
    plan: &'a Plan,
    base: &'a Base,
    seal: &'a Seal,
    needed: &'a BTreeSet<StepId>,
}

impl Source<'_> {
    /// What a session made of a step.
    fn made(&self, session: &Earlier, step: &PlannedStep) -> Option<Made> {
        let made = self.seal.open(&session.record(&record_name(step.id.as_str()))?).ok()?;
        let is_there = made.output.as_ref().is_none_or(|_| session.has_output(step.id.as_str()));
        (made.pipeline == self.plan.pipeline && made.session == session.id && is_there).then_some(made)
    }

    /// The needed steps of which a session has nothing, and those that it made in another way.
    fn lacks(&self, session: &Earlier) -> (Vec<&StepId>, Vec<&StepId>) {
        let (mut absent, mut other) = (Vec::new(), Vec::new());
        for step in self.plan.steps.iter().filter(|step| self.needed.contains(&step.id)) {
            match self.made(session, step) {
                None => absent.push(&step.id),
                Some(made) if made.outcome.fingerprint != fingerprint(step) => other.push(&step.id),
                Some(_) => {}
            }
        }
        (absent, other)
    }

    fn named(&self, name: &str) -> anyhow::Result<Arc<Earlier>> {
        let id = find(self.base, name)?.id;
        let session = earlier(self.base, "")?.find(|session| session.id == id);
        let session = session.ok_or_else(|| Report::input(format!("cannot open session {id}")))?;
        if session.is_running() {
            return Err(Report::input(format!("session {id} is running")).hint("wait for it to end").into());
        }
        let (absent, other) = self.lacks(&session);
        if !absent.is_empty() {
            let absent = listed(absent.into_iter().map(StepId::as_str));
            return Err(Report::input(format!(
                "session {id} has no results of this pipeline's steps that are needed: {absent}"
            ))
            .hint("name another session, see `osiris sessions list`; or run these steps too")
            .into());
        }
        self.refuse_other(&session, &other)?;
        Ok(Arc::new(session))
    }

    fn latest(&self) -> anyhow::Result<Arc<Earlier>> {
        let mut sessions = earlier(self.base, "")?.filter(|session| !session.is_running());
        let Some(session) = sessions.find(|session| self.lacks(session).0.is_empty()) else {
            let needed = listed(self.needed.iter().map(StepId::as_str));
            return Err(Report::input(format!(
                "no session of pipeline `{}` has the results that are needed: those of {needed}",
                self.plan.pipeline
            ))
            .hint("run the whole pipeline once; sessions that were removed, and those in an exchange, do not count")
            .into());
        };
        let (_, other) = self.lacks(&session);
        if let Err(report) = self.refuse_other(&session, &other) {
            let older = sessions.find(|session| self.lacks(session) == (Vec::new(), Vec::new()));
            return Err(match older {
                Some(older) => {
                    report.hint(format!("`--resume {}` takes them from an older session that has them so", older.id))
                }
                None => report,
            }
            .into());
        }
        Ok(Arc::new(session))
    }

    /// Refuses results that this pipeline would not make now.
    fn refuse_other(&self, session: &Earlier, other: &[&StepId]) -> Result<(), Report> {
        let Some(first) = other.first() else { return Ok(()) };
        let steps = listed(other.iter().map(|id| id.as_str()));
        Err(Report::input(format!("session {} made with another driver, config or parameter: {steps}", session.id))
            .hint(format!("run it too, with `--from {first}`; or name a session with `--resume SESSION`")))
    }
}
