//! What a process is asked about a pipeline's SQL and checks before anything runs, and what it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pipeline::expect::Expect;
use crate::untrusted::Untrusted;

/// A step whose checks are judged, and whose SQL is bound against what is known of its inputs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedStep {
    pub expect: Expect,
    /// The SELECTs of its config, by the tables that they make.
    pub selects: BTreeMap<String, String>,
    pub inputs: Vec<JudgedInput>,
    /// The names by which the process has tables of an earlier session, by the names that the step gives them.
    pub earlier: BTreeMap<String, String>,
}

/// A table that a step reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedInput {
    /// Its names in SQL.
    pub names: Vec<String>,
    /// The place of its step among those that are judged; it is an earlier one.
    pub step: usize,
    pub table: String,
}

/// What is found about a step; `step` is its place among those that are judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Judgement {
    /// A check that cannot be made, whatever its table has.
    WrongCheck { step: usize, check: usize, message: Untrusted },
    /// A SELECT that cannot be bound: where in it, in bytes. `is_from_earlier` if a table of an earlier session decides that.
    WrongSelect { step: usize, table: String, message: Untrusted, position: Option<usize>, is_from_earlier: bool },
    /// A step whose SQL is not bound, since the columns of this input are not known.
    Unbound { step: usize, input: usize },
}
