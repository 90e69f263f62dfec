//! `osiris drivers new`: writes the project of a new driver.

use std::path::Path;

use clap::builder::PossibleValue;

use crate::cli::print;
use crate::driver::spec::Kind;
use crate::scaffold::{Draft, Language, Template, default_template};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  osiris drivers new shop.orders --lang python --kind extractor --template rest\n  \
                  osiris drivers new totals --lang rust --kind processor --template sql\n\n\
                  Templates of an extractor: rows (the default), rest, database, file; of a processor: columns (the default), sql;\n\
                  of a writer: file (the default), rest, database"
)]
pub struct Arguments {
    /// The driver's name, such as `shop.orders`; the project's folder has the same name
    name: String,
    /// The language of the driver
    #[arg(long, value_enum)]
    lang: Language,
    /// What the driver does: read rows from outside, transform rows, or deliver them
    #[arg(long, value_enum)]
    kind: Kind,
    /// What to start from
    #[arg(long, value_enum)]
    template: Option<Template>,
}

impl clap::ValueEnum for Language {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl clap::ValueEnum for Template {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

impl clap::ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

pub fn new(arguments: &Arguments) -> anyhow::Result<()> {
    let template = arguments.template.unwrap_or_else(|| default_template(arguments.kind));
    let draft = Draft::new(&arguments.name, arguments.lang, arguments.kind, template)?;
    let folder = draft.write(Path::new("."))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    print(&format!(
        "wrote {name}/: {} in {}, from the template `{template}`\n\n  cd {name}\n  osiris drivers dev      build it and run its \
         example, again after each change\n\nREADME.md in it says more",
        draft.driver(),
        arguments.lang,
    ));
    Ok(())
}
