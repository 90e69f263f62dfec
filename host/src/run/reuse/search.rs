//! Looks whether what an earlier session made of a step can be taken over. It reads files, so it happens on a separate thread.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::Dir;

use super::files::{self, WrittenFile};
use super::made::Made;
use crate::exchange::StoredFile;
use crate::protocol::FileGrant;
use crate::session::earlier::Earlier;

/// What an earlier session made of a step, from the same but perhaps for the content of files.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub session: Arc<Earlier>,
    pub made: Made,
}

/// A step whose result may exist already.
pub struct Search {
    pub step: String,
    /// The newest first.
    pub candidates: Vec<Candidate>,
    pub reads: Vec<FileGrant>,
    /// The files that the step may write, by their names in its config.
    pub targets: Vec<WrittenFile>,
    /// The folder of outputs, and the name there for an output that is being taken over.
    pub data: Dir,
    pub beside: String,
    pub is_ended: Arc<AtomicBool>,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// What can be taken over: its output is in the folder of outputs.
    pub candidate: Option<Candidate>,
    /// What cannot: the session, and what is wrong with it.
    pub refused: Vec<(String, String)>,
}

impl Search {
    /// Finds what can be taken over.
    pub fn run(self) -> Found {
        let ended = || self.is_ended.load(Ordering::SeqCst);
        let mut found = Found::default();
        let Some(sizes) = files::sizes(&self.reads) else { return found };
        let is_as_long = |made: &Made| {
            made.reads.len() == sizes.len()
                && made.reads.iter().all(|(name, read)| sizes.get(name).is_some_and(|bytes| *bytes == read.bytes))
        };
        let candidates: Vec<&Candidate> =
            self.candidates.iter().filter(|candidate| is_as_long(&candidate.made)).collect();
        if candidates.is_empty() {
            return found;
        }
        let Some(reads) = files::contents(&self.reads, &ended) else { return found };
        for candidate in candidates.into_iter().filter(|candidate| candidate.made.reads == reads) {
            if !self.is_in_place(&candidate.made.written, &ended) {
                continue;
            }
            match take_output(&candidate.session, &candidate.made, &self.step, (&self.data, &self.beside), &ended) {
                Ok(()) => {
                    found.candidate = Some(candidate.clone());
                    return found;
                }
                Err(error) => found.refused.push((candidate.session.id.clone(), format!("{error:#}"))),
            }
        }
        found
    }

    /// Whether the files that the step wrote are still as it wrote them.
    fn is_in_place(&self, written: &BTreeMap<String, StoredFile>, ended: &dyn Fn() -> bool) -> bool {
        let targets: Vec<WrittenFile> = self
            .targets
            .iter()
            .filter(|(name, ..)| written.contains_key(name))
            .filter_map(|(name, folder, path)| Some((name.clone(), folder.try_clone().ok()?, path.clone())))
            .collect();
        targets.len() == written.len() && files::written(&targets, ended).as_ref() == Some(written)
    }
}

/// Puts the output of an earlier session beside where it belongs, if it is what the record says.
///
/// # Errors
/// If it is missing or was changed; nothing is left then.
pub fn take_output(
    session: &Earlier,
    made: &Made,
    step: &str,
    (data, beside): (&Dir, &str),
    ended: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let Some(output) = &made.output else { return Ok(()) };
    // What has the name now is compared, whatever happens to the other one.
    let taken = session.link_output(step, data, beside).and_then(|mut linked| {
        let content = files::content(&mut linked, ended);
        anyhow::ensure!(content.as_ref() == Some(output), "its output was changed after it was made");
        Ok(())
    });
    if taken.is_err() {
        let _ = data.remove_file(Path::new(beside));
    }
    taken
}
