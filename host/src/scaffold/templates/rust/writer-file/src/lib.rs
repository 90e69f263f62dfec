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
    use osiris_sdk::Array;

    use super::*;

    fn written(products: Vec<Option<String>>) -> Result<String> {
        lines(&Batch::from_columns(vec![("product", Array::from(products))])?, "product", 10)
    }

    #[test]
    fn each_row_is_a_line() {
        assert_eq!(written(vec![Some("tea".to_owned()), Some(String::new())]).unwrap(), "tea\n\n");
    }

    #[test]
    fn what_is_not_one_line_is_an_error() {
        for wrong in [None, Some("a\nb".to_owned())] {
            let error = written(vec![Some("tea".to_owned()), wrong]).unwrap_err();
            assert!(error.to_string().contains("row 12 "), "{error}");
        }
    }
}
