//! The record of what a step made, sealed, so that a later run can tell whether it may take it over.

use std::collections::BTreeMap;

use anyhow::Context;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::exchange::StoredFile;
use crate::plan::{Plan, PlannedStep};
use crate::run::ledger::{Outcome, fingerprint};
use crate::session::Base;
use crate::session::earlier::{Earlier, own_key};

/// The version of these records and of what their keys are made of. Others are not reused.
const VERSION: u32 = 1;

/// What a step made, and from what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    pub pipeline: String,
    pub session: String,
    /// The digest of everything but the content of files that decides what the step makes: see [`Seal::key`]. None if the step
    /// may make something else from the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// The outputs that it read, by step.
    pub inputs: BTreeMap<String, StoredFile>,
    /// The files that it read, by the names of its config and their places.
    pub reads: BTreeMap<String, StoredFile>,
    /// The files that it wrote, by the names of its config.
    pub written: BTreeMap<String, StoredFile>,
    /// The file of its tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<StoredFile>,
    pub outcome: Outcome,
}

impl Made {
    /// Whether it is a result of that session of the pipeline, made from what has this key.
    pub fn is_of(&self, session: &Earlier, pipeline: &str, key: &Digest) -> bool {
        self.session == session.id && self.pipeline == pipeline && self.key.as_ref() == Some(key)
    }
}

/// A record with the proof that a run of this base folder wrote it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    made: Box<RawValue>,
    seal: Digest,
}

/// Why a record is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it was changed after it was written, or comes from another base folder")]
    Foreign,
    #[error("another version of Osiris wrote it")]
    OtherVersion,
}

/// The name of the record of a step.
pub fn record_name(step: &str) -> String {
    format!("{step}.made.json")
}

/// What seals records and digests secrets: the base folder's own key.
pub struct Seal(Zeroizing<[u8; 32]>);

impl Seal {
    /// # Errors
    /// If the key can be neither read nor made.
    pub fn of(base: &Base) -> anyhow::Result<Self> {
        own_key(base).map(Self)
    }

    /// A digest that only this base folder can make; `purpose` tells apart what is digested.
    fn digest(&self, purpose: &str, bytes: &[u8]) -> Digest {
        let parts = [purpose.as_bytes(), b"\0", bytes];
        // A key of any length is accepted.
        let mac = Hmac::<Sha256>::new_from_slice(&self.0[..]);
        let mut mac = mac.unwrap_or_else(|_| Hmac::new(&Default::default()));
        parts.iter().for_each(|part| mac.update(part));
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        Digest::of_tag(tag)
    }

    /// The digest of everything but the content of files that decides what a step makes: the program, the driver, the config with
    /// its secrets, the names of what it reads and writes, and how many rows it may reject.
    pub fn key(&self, plan: &Plan, base: &Base, step: &PlannedStep) -> Digest {
        let inputs: Vec<_> =
            step.inputs.iter().map(|input| json!([input.alias, input.also, input.step, input.table])).collect();
        let grants = &step.grants;
        let text = json!({
            "version": VERSION, "osiris": env!("CARGO_PKG_VERSION"), "base": base.path, "pipeline": plan.pipeline, "step": step.id,
            "made_by": fingerprint(step), "secrets": step.secrets, "inputs": inputs, "reads": grants.read, "writes": grants.write, "folders": grants.create_folders,
        });
        self.digest("key", Zeroizing::new(text.to_string()).as_bytes())
    }

    /// The seed of a guest's hash tables: the same in each run of a step, so that it changes no result.
    pub fn hash_seed(&self, plan: &Plan, step: &PlannedStep) -> u64 {
        let digest = self.digest("hash seed", format!("{}\0{}", plan.pipeline, step.id).as_bytes());
        u64::from_str_radix(&digest.as_str()[..16], 16).unwrap_or_default()
    }

    /// The text of a record.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn close(&self, made: &Made) -> anyhow::Result<String> {
        let text = serde_json::to_string(made).context("cannot write a record")?;
        let seal = self.digest("record", text.as_bytes());
        let made = RawValue::from_string(text).context("cannot write a record")?;
        serde_json::to_string(&Sealed { made, seal }).context("cannot write a record")
    }

    /// Reads the text of a record.
    ///
    /// # Errors
    /// If no run of this base folder wrote it, or one of another version.
    pub fn open(&self, text: &str) -> Result<Made, Unusable> {
        let sealed: Sealed = serde_json::from_str(text).map_err(|_| Unusable::Foreign)?;
        if self.digest("record", sealed.made.get().as_bytes()) != sealed.seal {
            return Err(Unusable::Foreign);
        }
        serde_json::from_str(sealed.made.get()).map_err(|_| Unusable::OtherVersion)
    }
}
