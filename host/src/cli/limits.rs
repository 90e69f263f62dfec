//! The limits of a run's steps on the command line: one flag for each limit that has one.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use crate::grants::limits::{Limit, Limits};

/// The resource limits of each step.
#[derive(Debug, Clone)]
pub struct LimitArguments {
    pub limits: Limits,
    /// The limits that no flag set.
    pub defaults: Vec<Limit>,
}

fn flags() -> impl Iterator<Item = (&'static Limit, &'static str)> {
    Limits::ALL.iter().filter_map(|limit| Some((limit, limit.flag?)))
}

impl clap::Args for LimitArguments {
    fn augment_args(command: Command) -> Command {
        flags().fold(command, |command, (limit, flag)| {
            command.arg(
                Arg::new(flag)
                    .long(flag)
                    .help_heading("Limits of each step")
                    .help(limit.help)
                    .value_name(limit.unit.placeholder())
                    .default_value(limit.unit.write(limit.default))
                    .value_parser(|text: &str| limit.parse(text)),
            )
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for LimitArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits { threads: u64::try_from(cpus).unwrap_or(1), ..Limits::DEFAULT };
        let mut arguments = Self { limits, defaults: Vec::new() };
        arguments.update_from_arg_matches(matches)?;
        Ok(arguments)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (limit, flag) in flags() {
            let value = matches.try_get_one::<u64>(flag).map_err(|_| clap::Error::new(ErrorKind::InvalidValue))?;
            limit.set(&mut self.limits, value.copied().unwrap_or(limit.default));
        }
        let is_default = |flag: &str| matches.value_source(flag) != Some(ValueSource::CommandLine);
        self.defaults = flags().filter(|(_, flag)| is_default(flag)).map(|(limit, _)| *limit).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::{Args, FromArgMatches};

    fn parse(arguments: &[&str]) -> Result<Limits, clap::Error> {
        let command = LimitArguments::augment_args(Command::new("osiris")).no_binary_name(true);
        Ok(LimitArguments::from_arg_matches(&command.try_get_matches_from(arguments)?)?.limits)
    }

    #[test]
    fn every_flag_sets_its_own_limit_and_no_other() {
        let default = parse(&[]).unwrap();
        for (limit, flag) in flags() {
            let parsed = parse(&[&format!("--{flag}"), "7"]).unwrap();
            let changed: Vec<_> = Limits::ALL.iter().filter(|other| other.of(&parsed) != other.of(&default)).collect();
            assert_eq!(changed.iter().map(|other| other.policy_key).collect::<Vec<_>>(), [limit.policy_key]);
            assert_eq!(limit.of(&parsed), 7);
            for wrong in ["0", "much", "-1", "9999999999999999999999"] {
                assert!(parse(&[&format!("--{flag}={wrong}")]).is_err(), "{flag} {wrong}");
            }
        }
    }
}
