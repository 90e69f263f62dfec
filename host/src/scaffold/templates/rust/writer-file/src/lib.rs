//! Writes a column of texts to a file, a line for each row.

use osiris_sdk::{Batch, Error, Inputs, Result, Writer, files};

#[derive(serde::Deserialize)]
struct Config {
    path: String,
    column: String,
}

struct Driver;

impl Writer for Driver {
    type Config = Config;

    fn load(config: Config, inputs: Inputs) -> Result<()> {
        let target = files::create(&config.path)?;
        let mut rows = 0;
        for batch in inputs.only()?.read_columns(&[&config.column])? {
            let batch = batch?;
            target.write(lines(&batch, &config.column, rows)?.as_bytes())?;
            rows += batch.rows();
        }
        Ok(())
    }
}

/// The column's texts as lines; `before` rows came before the batch.
fn lines(batch: &Batch, column: &str, before: usize) -> Result<String> {
    let mut lines = String::new();
    for (row, text) in batch.column(column)?.strings()?.iter().enumerate() {
        let wrong = |what: &str| Error::data(format!("row {} has {what} in column `{column}`", before + row + 1));
        let text = text.ok_or_else(|| wrong("null"))?;
        if text.contains('\n') {
            return Err(wrong("a text with a line break"));
        }
        lines.push_str(text);
        lines.push('\n');
    }
    Ok(lines)
}

osiris_sdk::export!(Driver: writer);

#[cfg(test)]
mod tests {
    use osiris_sdk::testing::{Rows, Run, Step};
    use serde_json::json;

    use super::*;

    fn run(products: &[Option<&str>]) -> Run {
        let orders = Rows::new(products.iter().map(|product| json!({"product": product}))).in_batches_of(1);
        let config = json!({"path": "a.txt", "column": "product"});
        Step::new().config(config).input("orders", orders.typed("product", "VARCHAR")).load::<Driver>()
    }

    #[test]
    fn each_row_is_a_line() {
        assert_eq!(run(&[Some("tea"), Some("žito"), Some("")]).file("a.txt"), Some("tea\nžito\n\n".as_bytes()));
    }

    #[test]
    fn what_is_not_one_line_is_an_error() {
        for wrong in [None, Some("a\nb")] {
            let run = run(&[Some("tea"), wrong]);
            assert!(run.error().message.contains("row 2 "), "{}", run.error());
        }
    }
}
