//! A driver's secrets do not leave it.

use base64::Engine;
use serde_json::Value;

use super::{GoodRun, NO_GOOD_RUN, Subject, Verdict};
use crate::kit::outcome::{LogLine, Outcome};
use crate::protocol::disturbance::{Effect, Fault, FaultKind};
use crate::secrets::MASK;
use crate::secrets::scrubber::is_distinctive;

/// How many characters of a secret in a row are too many.
const TELLTALE: usize = 8;

/// Tables, files, states, logs and errors contain no secret. The host redacts logs and errors, so a redacted text there
/// shows that the driver put a secret into it.
pub fn secrets(subject: &Subject<'_>) -> anyhow::Result<Verdict> {
    let mut runs = 0;
    for run in subject.some() {
        let secrets = secrets_of(subject, run);
        if secrets.is_empty() {
            continue;
        }
        runs += 1;
        let refused = refused(subject, run)?;
        for outcome in [&run.outcome].into_iter().chain(&refused) {
            if let Some(words) = leak(outcome, &secrets) {
                return Ok(Verdict::Failed(format!("in test `{}`, {words}", run.name)));
            }
        }
    }
    let otherwise = "no test of the driver that succeeds has a secret of eight characters or more";
    Ok(Verdict::of(runs, if subject.good.is_empty() { NO_GOOD_RUN } else { otherwise }))
}

/// The secrets of a run's config, by what the driver's spec and their names say.
fn secrets_of(subject: &Subject<'_>, run: &GoodRun) -> Vec<String> {
    let parts = crate::driver::config::divide(&subject.harness.driver.spec, &run.trial.config);
    let texts = parts.secrets.values().map(|secret| secret.reveal().to_owned());
    texts.filter(|text| is_distinctive(text) && text.len() >= TELLTALE).collect()
}

/// The outcome if the login is refused: errors of servers often quote what they refuse.
fn refused(subject: &Subject<'_>, run: &GoodRun) -> anyhow::Result<Option<Outcome>> {
    let call =
        run.outcome.calls.iter().zip(1..).find(|(name, _)| name.starts_with("http/") || name.starts_with("tcp/"));
    let Some((_, call)) = call else { return Ok(None) };
    let mut trial = run.trial.clone();
    trial.disturbance.fault = Some(Fault { call, lasts: true, effect: Effect::Error(FaultKind::Auth) });
    subject.harness.run(&trial).map(Some)
}

/// Where an outcome has a secret.
fn leak(outcome: &Outcome, secrets: &[String]) -> Option<String> {
    let has = |text: &str| secrets.iter().any(|secret| contains(text, secret));
    for (name, table) in &outcome.tables {
        if table.rows.iter().any(|row| has(row)) || table.columns.iter().any(|(column, _)| has(column)) {
            return Some(format!("table `{name}` contains a secret, or a part of one"));
        }
    }
    if let Some((name, _)) = outcome.files.iter().find(|(_, bytes)| has(&String::from_utf8_lossy(bytes))) {
        return Some(format!("file `{name}` contains a secret, or a part of one"));
    }
    if outcome.state.as_deref().is_some_and(has) {
        return Some("the state contains a secret, or a part of one".to_owned());
    }
    let is_bad = |text: &str| has(text) || text.contains(MASK);
    let in_line = |line: &LogLine| {
        is_bad(line.message.raw()) || line.fields.iter().any(|(name, value)| is_bad(name.raw()) || is_bad(value.raw()))
    };
    if let Some(line) = outcome.log.iter().find(|line| in_line(line)) {
        return Some(format!("the driver writes a secret to its log, which the host has to redact: {}", line.message));
    }
    let error = outcome.error.as_ref().filter(|error| is_bad(error.message.raw()))?;
    Some(format!("the driver's error contains a secret, which the host has to redact: {}", error.message))
}

/// Whether a text contains a secret in a common encoding, or a telling part of it.
fn contains(text: &str, secret: &str) -> bool {
    let characters: Vec<char> = secret.chars().collect();
    let part =
        characters.windows(TELLTALE).map(|part| part.iter().collect::<String>()).any(|part| text.contains(&part));
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let reversed: String = characters.iter().rev().collect();
    let quoted = Value::from(secret).to_string();
    part || [base64, hex, reversed, quoted].iter().any(|encoded| text.contains(encoded.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_parts_and_in_encodings() {
        let secret = "correct-horse-battery";
        for text in ["x correct-horse-battery y", "t-horse-", "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5", "yrettab-esroh-tcerroc"] {
            assert!(contains(text, secret), "{text}");
        }
        assert!(!contains("correct horse battery", secret));
    }
}
