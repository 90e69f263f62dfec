//! The order in which steps run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::error::{Report, listed, nearest};
use crate::pipeline::expect::{Check, Target};
use crate::pipeline::{Pipeline, Step, StepId};

/// Each step's place in the pipeline, by its id.
pub(super) type Places<'a> = BTreeMap<&'a StepId, usize>;

pub(super) fn places(pipeline: &Pipeline) -> Places<'_> {
    pipeline.steps.iter().enumerate().map(|(place, step)| (&step.id, place)).collect()
}

/// The places of the steps that each step waits for: those that it reads, and those that it names under `needs` or,
/// without `needs`, the step before it.
///
/// # Errors
/// If a step names an unknown step.
pub(super) fn needs(pipeline: &Pipeline, places: &Places<'_>) -> Result<Vec<BTreeSet<usize>>, Report> {
    let place = |step: &Step, wanted: &StepId, key: &str| {
        places.get(wanted).copied().ok_or_else(|| unknown(pipeline, step, wanted, key))
    };
    let mut needs = pipeline
        .steps
        .iter()
        .map(|step| {
            let named = step.needs.iter().flatten().map(|need| place(step, need, "needs"));
            let read = step.inputs.iter().flatten().map(|(_, from, _)| place(step, from, "inputs"));
            // A check may look into an input by its alias, or into another step by its id.
            let aliases: BTreeSet<&str> = step.inputs.iter().flatten().map(|(alias, ..)| alias.as_str()).collect();
            let looked_up = step.expect.targets().map(|(check, target)| looked_up(step, check, target, &aliases));
            let looked_up: Vec<StepId> = looked_up.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            let looked_up = looked_up.iter().map(|from| place(step, from, "references"));
            named.chain(read).chain(looked_up).collect::<Result<BTreeSet<_>, _>>()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let in_order = needs.iter().enumerate().all(|(number, needs)| needs.iter().all(|need| *need < number));
    for (number, step) in pipeline.steps.iter().enumerate().skip(1) {
        // If the previous step already waits for this one, this one must not wait for it in turn.
        let waits_already = || !in_order && step.inputs.is_some() && leads(&needs, number - 1, number);
        if step.needs.is_none() && !waits_already() {
            needs[number].insert(number - 1);
        }
    }
    Ok(needs)
}

/// The step that a check looks into, unless it is one of the step's inputs.
fn looked_up(step: &Step, check: &Check, target: &Target, aliases: &BTreeSet<&str>) -> Result<Option<StepId>, Report> {
    if target.table.is_none() && aliases.contains(target.from.as_str()) {
        return Ok(None);
    }
    if target.from == step.id.as_str() {
        return Err(Report::input(format!("check `{}` of step `{}` looks into its own step", check.name, step.id)).hint(
            format!("write a SELECT that returns the offending rows, such as `select * from a anti join b using (id)` (line {})", check.line),
        ));
    }
    StepId::new(&target.from).map(Some)
}

/// Whether the step at `from` needs the one at `to`, directly or through other steps.
fn leads(needs: &[BTreeSet<usize>], from: usize, to: usize) -> bool {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(place) = left.pop() {
        if place == to {
            return true;
        }
        if seen.insert(place) {
            left.extend(&needs[place]);
        }
    }
    false
}

/// The most steps for which [`beside`] is computed.
const MAX_BESIDE: usize = 1000;

/// For each place, the places that neither need it nor are needed by it: these may run at the same time. `needs` are
/// earlier places.
pub(super) fn beside(needs: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    if needs.len() > MAX_BESIDE {
        return vec![Vec::new(); needs.len()];
    }
    let mut behind: Vec<Vec<bool>> = Vec::with_capacity(needs.len());
    for direct in needs {
        let mut all = vec![false; needs.len()];
        for need in direct.iter().filter(|need| **need < behind.len()) {
            all[*need] = true;
            all.iter_mut().zip(&behind[*need]).for_each(|(all, before)| *all |= before);
        }
        behind.push(all);
    }
    let apart = |one: usize, other: usize| one != other && !behind[one][other] && !behind[other][one];
    (0..needs.len()).map(|one| (0..needs.len()).filter(|other| apart(one, *other)).collect()).collect()
}

fn unknown(pipeline: &Pipeline, step: &Step, wanted: &StepId, key: &str) -> Report {
    let known = || pipeline.steps.iter().map(|step| step.id.as_str());
    let near = nearest(wanted.as_str(), known()).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Report::input(format!("step `{}` names the unknown step `{wanted}`; known steps: {}", step.id, listed(known())))
        .hint(format!("{near}change `{key}` of the step in line {}", step.line))
        .at_step(&step.id, &[key])
}

/// The places in topological order, or in the author's order where there is a choice.
///
/// # Errors
/// A cycle, as the places of steps that each need the next; the last is the same as the first.
pub(super) fn order(needs: &[BTreeSet<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut dependents = vec![Vec::new(); needs.len()];
    for (place, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|need| dependents[*need].push(place));
    }
    let mut unmet: Vec<usize> = needs.iter().map(BTreeSet::len).collect();
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..needs.len()).filter(|place| unmet[*place] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(place)) = ready.pop() {
        order.push(place);
        for dependent in &dependents[place] {
            unmet[*dependent] -= 1;
            if unmet[*dependent] == 0 {
                ready.push(Reverse(*dependent));
            }
        }
    }
    if order.len() == needs.len() { Ok(order) } else { Err(circle(needs, &unmet)) }
}

/// Follows the needs of a stuck step until one occurs twice.
fn circle(needs: &[BTreeSet<usize>], unmet: &[usize]) -> Vec<usize> {
    let is_stuck = |place: &usize| unmet[*place] > 0;
    let mut path: Vec<usize> = (0..needs.len()).find(|place| is_stuck(place)).into_iter().collect();
    let mut position = vec![None; needs.len()];
    while let Some(&last) = path.last() {
        position[last] = Some(path.len() - 1);
        let Some(next) = needs[last].iter().copied().find(|need| is_stuck(need)) else { break };
        path.push(next);
        if let Some(start) = position[next] {
            path.drain(..start);
            break;
        }
    }
    path
}

pub(super) fn waits_in_a_circle(pipeline: &Pipeline, circle: &[usize]) -> Report {
    let names: Vec<String> = circle.iter().map(|place| format!("`{}`", pipeline.steps[*place].id)).collect();
    Report::input(format!("the steps wait for each other in a circle: {}", names.join(" needs ")))
        .hint("take one of them out of another's `needs` or `inputs`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_found_behind_steps_that_are_not_part_of_it() {
        let needs = [[].into(), [0, 2].into(), [3].into(), [2].into()];
        assert_eq!(order(&needs), Err(vec![2, 3, 2]));
        assert_eq!(order(&[[0].into()]), Err(vec![0, 0]));
    }

    #[test]
    fn steps_that_do_not_need_each_other_may_run_in_parallel() {
        let needs = [[].into(), [].into(), [0].into(), [1, 2].into(), [3].into()];
        assert_eq!(beside(&needs), [vec![1], vec![0, 2], vec![1], vec![], vec![]]);
    }

    #[test]
    fn a_long_chain_in_reverse_is_ordered_at_once() {
        let count = 50_000;
        let needs: Vec<BTreeSet<usize>> =
            (0..count).map(|place| (place + 1 < count).then_some(place + 1).into_iter().collect()).collect();
        assert_eq!(order(&needs), Ok((0..count).rev().collect()));
    }
}
