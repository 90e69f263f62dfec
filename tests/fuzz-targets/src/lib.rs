//! The fuzz targets: untrusted bytes for everything that reads them. None may panic.
//!
//! `fuzz/` runs each of them for any length of time; the tests here replay the committed corpus and mutate it briefly.

mod columns;
mod strangers;
mod texts;
mod workers;

pub use columns::{columns, records};
pub use strangers::{ask, certificate, component, mysql, postgres, statement, url};
pub use texts::{grant, job, message, pipeline, policy, spec};
pub use workers::{answers, wire};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every fuzz target by its name.
pub const TARGETS: [(&str, Target); 17] = [
    ("answers", answers),
    ("ask", ask),
    ("certificate", certificate),
    ("columns", columns),
    ("component", component),
    ("grant", grant),
    ("job", job),
    ("message", message),
    ("mysql", mysql),
    ("pipeline", pipeline),
    ("policy", policy),
    ("postgres", postgres),
    ("records", records),
    ("spec", spec),
    ("statement", statement),
    ("url", url),
    ("wire", wire),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::TARGETS;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }

    /// A small deterministic random number generator, so that failures are reproducible.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % bound.max(1) as u64).unwrap()
        }
    }

    fn mutate(data: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
        for _ in 0..=chance.below(4) {
            let place = chance.below(data.len() + 1);
            match chance.below(5) {
                0 if place < data.len() => data[place] = u8::try_from(chance.below(256)).unwrap(),
                1 if place < data.len() => data[place] ^= 1 << chance.below(8),
                2 => data.truncate(place),
                3 => data.insert(place, [0, 1, 0x7f, 0x80, 0xff, b'{', b'"', b'*'][chance.below(8)]),
                _ => {
                    let from = chance.below(other.len() + 1);
                    let to = (from + chance.below(32)).min(other.len());
                    data.splice(place..place, other[from..to].iter().copied());
                }
            }
        }
    }

    #[test]
    fn the_corpus_and_its_mutations_cause_no_panic() {
        for (name, target) in TARGETS {
            let corpus = corpus(name);
            assert!(!corpus.is_empty(), "{name} has no corpus");
            corpus.iter().for_each(|data| target(data));
            let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(1500) {
                let mut data = corpus[chance.below(corpus.len())].clone();
                let other = &corpus[chance.below(corpus.len())];
                mutate(&mut data, other, &mut chance);
                // In case a target ends the whole process: the last input.
                if let Some(file) = std::env::var_os("FUZZ_LAST") {
                    std::fs::write(file, &data).unwrap();
                }
                target(&data);
            }
        }
    }

    /// Each target is built by the fuzzer and listed in docs/security.md with what it reads.
    #[test]
    fn the_list_of_targets_is_complete_everywhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let names: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut programs: Vec<String> = std::fs::read_dir(root.join("fuzz/fuzz_targets"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        programs.sort();
        assert_eq!(programs, names);
        let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
        let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
        let listed = page.split("<!-- fuzz -->").nth(1).unwrap().split("<!-- /fuzz -->").next().unwrap();
        let listed: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(listed, names);
        for name in &names {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
            let program = std::fs::read_to_string(root.join(format!("fuzz/fuzz_targets/{name}.rs"))).unwrap();
            assert!(program.contains(&format!("fuzz_targets::{name}(data)")), "{name}");
        }
    }
}
