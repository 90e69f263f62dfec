//! The process that reads an untrusted spec: what a component contains, what its spec says, and whether a config
//! satisfies its schema. It has no access to anything, and its resources are bounded.
//!
//! A spec is YAML, and its schema contains patterns and references. Both come from a stranger, and to interpret them is
//! to run a stranger's program. The host receives a [`Spec`] of bounded, plain fields, and a verdict on each config.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::sha256_of;
use crate::driver::compiler::Allowance;
use crate::driver::component;
use crate::driver::config::{Candidate, Schema, Wrong};
use crate::driver::spec::{self, Spec};
use crate::error::Report;
use crate::sandbox::{self, Reach};

/// What one process may use. A driver of this repository takes 10 ms and 20 MB.
pub const ALLOWANCE: Allowance = Allowance { cpu_seconds: 4, memory_bytes: 512_000_000 };

/// The longest line that either side sends, in bytes.
pub const MAX_LINE: u64 = 16 << 20;

/// How much of one mistake in a config is reported, in characters.
const MAX_WORDS: usize = 4000;

/// The host's requests, one JSON line each.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// The bytes of a component follow, to the end of stdin. `component` and `spec` are their names in errors.
    Component { component: String, spec: String },
    /// Asks whether a config satisfies the spec's schema. `spec` is omitted if it is the same as in the request before.
    Config { spec: Option<Box<Spec>>, config: Map<String, Value>, written_as: BTreeMap<String, String> },
}

/// A process's answers, one JSON line each.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Described(Box<Description>),
    /// The component is not a driver; `is_plain` if it merely has no spec.
    Refused {
        message: String,
        hint: Option<String>,
        is_plain: bool,
        imports: Vec<String>,
    },
    Checked {
        wrong: Vec<Wrong>,
    },
}

/// A component with a spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    pub spec: Spec,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

/// Runs the hidden command `osiris inspect`.
pub fn main(allowance: Allowance, require_confinement: bool) -> ExitCode {
    let outcome =
        prepare(allowance, require_confinement).and_then(|()| serve(&mut io::stdin().lock(), &mut io::stdout().lock()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is closed, the message is lost.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::from(crate::error::Fault::Host.exit_code())
        }
    }
}

/// Confines the process before it reads anything.
fn prepare(allowance: Allowance, require_confinement: bool) -> anyhow::Result<()> {
    sandbox::shed()?;
    sandbox::limit_compiler(allowance.cpu_seconds, allowance.memory_bytes, 0)?;
    let confinement = sandbox::confine(&Reach::default()).context("cannot confine the process that reads drivers")?;
    anyhow::ensure!(!require_confinement || confinement.is_whole(), "this machine lacks: {}", confinement.words());
    Ok(())
}

/// Answers requests until there are no more.
fn serve(requests: &mut impl BufRead, answers: &mut impl Write) -> anyhow::Result<()> {
    let mut known: Option<(Box<Spec>, Result<Schema, Report>)> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if requests.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).context("cannot read a request")? == 0 {
            return Ok(());
        }
        let request = serde_json::from_slice(&line).context("cannot read a request")?;
        let is_last = matches!(request, Request::Component { .. });
        let answer = match request {
            Request::Component { component, spec } => describe(requests, &component, &spec),
            Request::Config { spec, config, written_as } => {
                if let Some(spec) = spec {
                    let schema = Schema::new(&spec);
                    known = Some((spec, schema));
                }
                let (spec, schema) = known.as_ref().context("a config came before its spec")?;
                match schema {
                    Ok(schema) => {
                        let candidate = Candidate { spec, config: &config, written_as: &written_as };
                        Answer::Checked { wrong: bounded(schema.wrong(&candidate)) }
                    }
                    Err(report) => refused(report.clone(), false, Vec::new()),
                }
            }
        };
        let mut text = serde_json::to_vec(&answer).context("cannot write an answer")?;
        text.push(b'\n');
        answers.write_all(&text).and_then(|()| answers.flush()).context("cannot write an answer")?;
        if is_last {
            return Ok(());
        }
    }
}

fn refused(report: Report, is_plain: bool, imports: Vec<String>) -> Answer {
    Answer::Refused { message: report.message, hint: report.hint, is_plain, imports }
}

/// The most keys in the place of a mistake, and the longest one, in characters.
const MAX_DEPTH: usize = 16;
const MAX_PART: usize = 100;

fn bounded(wrong: Vec<Wrong>) -> Vec<Wrong> {
    let cut = |text: String| match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    let part = |part: String| part.chars().take(MAX_PART).collect();
    let path = |path: Vec<String>| path.into_iter().take(MAX_DEPTH).map(part).collect();
    let bound = |wrong: Wrong| Wrong { message: cut(wrong.message), hint: wrong.hint.map(cut), path: path(wrong.path) };
    wrong.into_iter().map(bound).collect()
}

/// Describes a component. Everything up to its end is read, so that its digest covers exactly what was read.
pub fn describe(component: &mut impl Read, name: &str, spec_name: &str) -> Answer {
    let no_driver = |why: &str| {
        Report::input(format!("`{name}` is no driver: {why}"))
            .hint("a driver is a WebAssembly component of one of the worlds in wit/driver.wit, with a packed spec")
    };
    let surface = match component::surface(component) {
        Ok(surface) => surface,
        Err(why) => return refused(no_driver(&why), true, Vec::new()),
    };
    let Some(text) = surface.spec else {
        let report = no_driver("it has no spec")
            .hint(format!("add one with `osiris drivers pack {name} --spec spec.yaml -o OUT.wasm`"));
        return refused(report, true, surface.imports);
    };
    let Ok(text) = String::from_utf8(text) else {
        return refused(no_driver("its spec is not UTF-8"), false, surface.imports);
    };
    match spec::parse(&text, spec_name) {
        Ok(spec) => {
            Answer::Described(Box::new(Description { spec, imports: surface.imports, exports: surface.exports }))
        }
        Err(report) => refused(report, false, surface.imports),
    }
}

/// The version of the code that reads specs, so that the results of another version are not taken for its own.
pub fn version() -> String {
    let sources = [
        include_str!("spec.rs"),
        include_str!("options.rs"),
        include_str!("identity.rs"),
        include_str!("placeholders.rs"),
        include_str!("component.rs"),
        include_str!("inspect.rs"),
        include_str!("../grants/template.rs"),
        include_str!("../grants/address_template.rs"),
        include_str!("../grants/credentials.rs"),
        include_str!("../grants/endpoint.rs"),
        include_str!("../grants/files.rs"),
    ];
    sha256_of(sources.concat().as_bytes())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const SPEC: &str = "name: a.b\nversion: 1.0.0\nkind: processor\ntitle: t\n\
        configSchema: {type: object, properties: {n: {type: integer}}}\n";

    fn answers(requests: &str) -> Vec<Answer> {
        let mut out = Vec::new();
        serve(&mut requests.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_config_without_a_spec_is_judged_by_the_previous_one() {
        let spec = spec::parse(SPEC, "s").unwrap();
        let config = |spec: Option<&Spec>, n: Value| {
            json!({"Config": {"spec": spec, "config": {"n": n}, "written_as": {}}}).to_string() + "\n"
        };
        let requests = config(Some(&spec), json!(1)) + &config(None, json!("x"));
        let wrong: Vec<usize> = answers(&requests)
            .into_iter()
            .map(|answer| if let Answer::Checked { wrong } = answer { wrong.len() } else { 99 })
            .collect();
        assert_eq!(wrong, [0, 1]);
        let mut out = Vec::new();
        assert!(serve(&mut config(None, json!(1)).as_bytes(), &mut out).is_err());
    }

    #[test]
    fn reported_mistakes_are_bounded() {
        let wrong = |length: usize| Wrong {
            message: "ü".repeat(length),
            hint: Some("h".repeat(length)),
            path: vec!["p".repeat(length); 1000],
        };
        let told = bounded(vec![wrong(100_000)]);
        assert_eq!(told[0].message.chars().count(), MAX_WORDS + 1);
        assert!(told[0].path.len() == MAX_DEPTH && told[0].path[0].len() == MAX_PART);
        assert_eq!(bounded(vec![wrong(3)])[0].message, "üüü");
    }

    #[test]
    fn a_file_that_is_not_a_driver_is_distinguished_from_a_driver_with_a_wrong_spec() {
        let section = |text: &str| {
            let name = spec::SECTION;
            let length = u8::try_from(1 + name.len() + text.len()).unwrap();
            [b"\0asm\x0d\0\x01\0".as_slice(), &[0, length, 11], name.as_bytes(), text.as_bytes()].concat()
        };
        for (bytes, plain) in
            [(b"text".to_vec(), true), (b"\0asm\x0d\0\x01\0".to_vec(), true), (section("x: 1"), false)]
        {
            let answer = describe(&mut bytes.as_slice(), "f.wasm", "f.wasm");
            assert!(matches!(answer, Answer::Refused { is_plain, .. } if is_plain == plain), "{answer:?}");
        }
    }
}
