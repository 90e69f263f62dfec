//! Names that stand for a command of this program itself, which leads to workers elsewhere: `e2b`, `e2b:TEMPLATE`.

use crate::error::Report;

/// The template that has nothing special.
const DEFAULT_TEMPLATE: &str = "base";

/// The command of the bridge that `e2b` or `e2b:TEMPLATE` stands for; `None` if `on` is something else.
///
/// # Errors
/// If the template's name is not one.
pub(super) fn command(on: &str) -> anyhow::Result<Option<String>> {
    let template = match on.strip_prefix("e2b") {
        Some("") => DEFAULT_TEMPLATE,
        Some(rest) if rest.starts_with(':') => &rest[1..],
        _ => return Ok(None),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    if template.is_empty() || template.starts_with('-') || !template.bytes().all(is_plain) {
        let message = format!("`{on}` does not name a template of E2B");
        return Err(Report::input(message).hint("write `e2b`, or `e2b:TEMPLATE` with its name or id").into());
    }
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or_else(|| std::io::Error::other("the path of this program is not UTF-8"))?;
    // Not the shell's last command: the shell stays, and the bridge outlives a host that ends the shell, to delete sandboxes.
    Ok(Some(format!("'{}' e2b-bridge --template {template}; exit $?", program.replace('\'', r"'\''"))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn e2b_and_its_templates_are_told_from_commands() {
        let of = |on: &str| command(on).unwrap().map(|command| command.split_once("' ").unwrap().1.to_owned());
        assert_eq!(of("e2b").unwrap(), "e2b-bridge --template base; exit $?");
        assert_eq!(of("e2b:team/osiris:v1").unwrap(), "e2b-bridge --template team/osiris:v1; exit $?");
        assert_eq!((of("e2bx"), of("ssh e2b osiris worker"), of("e2b --help")), (None, None, None));
        for wrong in ["e2b:", "e2b:a b", "e2b:a;b", "e2b:$(x)", "e2b:-x"] {
            assert!(command(wrong).unwrap_err().to_string().contains("does not name a template"), "{wrong}");
        }
    }
}
