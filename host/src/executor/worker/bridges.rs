//! Names that stand for a command that leads to workers elsewhere: `e2b` and `e2b:TEMPLATE` for one of this program itself,
//! `ray` and `ray:ADDRESS` for `osiris-ray-bridge`.

use std::path::Path;

use crate::environment;
use crate::error::{Fault, Report};

/// The template that has nothing special.
const DEFAULT_TEMPLATE: &str = "base";

/// The Python program that speaks for a Ray cluster.
const RAY_BRIDGE: &str = "osiris-ray-bridge";

/// The command of the bridge that `on` stands for; `None` if it is something else.
///
/// # Errors
/// If the template's name or the cluster's address is not one, or the bridge is not installed.
pub(super) fn command(on: &str) -> anyhow::Result<Option<String>> {
    if let Some(ray) = ray(on)? {
        let path = environment::variable(environment::PATH).unwrap_or_default();
        if !std::env::split_paths(&path).any(|folder| Path::new(&folder).join(RAY_BRIDGE).is_file()) {
            let report = Report::input(format!("cannot reach `{on}`: there is no `{RAY_BRIDGE}` on the PATH"));
            return Err(Report { fault: Fault::Host, ..report }
                .hint("install it with `pip install ./clients/ray-bridge`")
                .into());
        }
        return Ok(Some(ray));
    }
    e2b(on)
}

/// The command for `ray`, `ray:10.0.0.1:6379` or `ray://10.0.0.1:10001`.
fn ray(on: &str) -> Result<Option<String>, Report> {
    let address = match on.strip_prefix("ray") {
        // The cluster that this machine belongs to.
        Some("") => "auto",
        Some(rest) if rest.starts_with("://") => on,
        Some(rest) if rest.starts_with(':') => &rest[1..],
        _ => return Ok(None),
    };
    if address.is_empty() || !address.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/[]".contains(&byte)) {
        return Err(Report::input(format!("`{on}` does not name a Ray cluster"))
            .hint("write `ray`, or the address of the cluster's head, such as `ray:10.0.0.1:6379`"));
    }
    Ok(Some(format!("exec {RAY_BRIDGE} --address='{address}'")))
}

fn e2b(on: &str) -> anyhow::Result<Option<String>> {
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
    fn a_ray_cluster_is_named_with_or_without_its_address() {
        let of = |on: &str| ray(on).unwrap().map(|command| command.split_once('=').unwrap().1.to_owned());
        assert_eq!(of("ray").unwrap(), "'auto'");
        assert_eq!(of("ray:10.0.0.1:6379").unwrap(), "'10.0.0.1:6379'");
        assert_eq!(of("ray:[::1]:6379").unwrap(), "'[::1]:6379'");
        assert_eq!(of("ray://head:10001").unwrap(), "'ray://head:10001'");
        assert_eq!((of("rays"), of("ray --help"), of("ssh ray osiris worker")), (None, None, None));
        for wrong in ["ray:", "ray:$(x)", "ray:a'b", "ray:a;b"] {
            assert!(ray(wrong).unwrap_err().message.contains("does not name a Ray cluster"), "{wrong}");
        }
    }

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
