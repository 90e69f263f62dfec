//! The places where the steps of a run run, and how busy each is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::SyncSender;

use anyhow::Context;

use super::Settings;
use crate::executor::local::Local;
use crate::executor::process::{ProcessEvent, StepProcess};
use crate::executor::worker::Worker;
use crate::executor::{Executor, NewAttempt, RunningAttempt};
use crate::pipeline::project::WorkerPlace;
use crate::plan::Plan;

/// The workers that a plan needs.
pub(super) type Workers = BTreeMap<WorkerPlace, Worker>;

/// Connects to all workers that a plan needs, at the same time.
pub(super) fn connect(
    plan: &Plan,
    say: &SyncSender<ProcessEvent>,
    require_confinement: bool,
) -> anyhow::Result<Workers> {
    let places: BTreeSet<&WorkerPlace> = plan.steps.iter().filter_map(|step| step.on.worker()).collect();
    std::thread::scope(|scope| {
        let connecting: Vec<_> = places
            .into_iter()
            .map(|place| {
                let connect =
                    || Worker::connect(place, say.clone(), require_confinement).map(|worker| (place.clone(), worker));
                std::thread::Builder::new().name("connect".to_owned()).spawn_scoped(scope, connect)
            })
            .collect::<Result<_, _>>()
            .context("cannot start a thread")?;
        let joined = connecting.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread ended")));
        joined.map(|connected| connected.flatten()).collect()
    })
}

pub(super) struct Fleet {
    members: Vec<Member>,
    /// The member that each step runs on, by the step's place in the plan.
    of_step: Vec<usize>,
    /// The most steps that run at once, wherever.
    most: usize,
}

struct Member {
    executor: Box<dyn Executor>,
    slots: usize,
    running: usize,
}

/// This machine.
const LOCAL: usize = 0;

impl Fleet {
    pub(super) fn new(
        plan: &Plan,
        settings: &Settings,
        workers: Workers,
        (say, first): (SyncSender<ProcessEvent>, Option<StepProcess>),
    ) -> anyhow::Result<Self> {
        let local = Box::new(Local::new(say, first)?);
        let mut members = vec![Member { executor: local, slots: settings.jobs, running: 0 }];
        let mut by_place = BTreeMap::new();
        for (place, worker) in workers {
            let announced = worker.announced().slots as usize;
            let slots = place.slots.map_or(announced, |slots| announced.min(slots as usize));
            by_place.insert(place, members.len());
            members.push(Member { executor: Box::new(worker), slots, running: 0 });
        }
        let of_step = plan.steps.iter().map(|step| {
            let Some(worker) = step.on.worker() else { return Ok(LOCAL) };
            by_place.get(worker).copied().with_context(|| format!("worker `{}` is not connected", worker.name))
        });
        Ok(Self { of_step: of_step.collect::<anyhow::Result<_>>()?, members, most: settings.most_jobs })
    }

    /// Whether a step can start now.
    pub(super) fn has_room(&self, step: usize) -> bool {
        let member = &self.members[self.of_step[step]];
        member.running < member.slots && self.members.iter().map(|member| member.running).sum::<usize>() < self.most
    }

    /// Gets ready for the steps that may be next.
    pub(super) fn expect(&mut self, steps: impl Iterator<Item = usize>) {
        let mut wanted = vec![0; self.members.len()];
        steps.for_each(|step| wanted[self.of_step[step]] += 1);
        for (member, wanted) in self.members.iter_mut().zip(wanted) {
            member.executor.expect(wanted.min(member.slots).min(self.most));
        }
    }

    pub(super) fn start(&mut self, step: usize, attempt: NewAttempt<'_>) -> anyhow::Result<Box<dyn RunningAttempt>> {
        let member = &mut self.members[self.of_step[step]];
        let started = member.executor.start(attempt)?;
        member.running += 1;
        Ok(started)
    }

    /// An attempt of a step has ended.
    pub(super) fn ended(&mut self, step: usize) {
        let member = &mut self.members[self.of_step[step]];
        member.running = member.running.saturating_sub(1);
    }

    /// What was ready, and had no attempt yet, has ended.
    pub(super) fn forget(&mut self, number: u64) {
        self.members.iter_mut().for_each(|member| member.executor.forget(number));
    }

    pub(super) fn release(&mut self) {
        self.members.iter_mut().for_each(|member| member.executor.release());
    }
}
