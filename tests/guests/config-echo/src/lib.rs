//! Writes its config, and what it can see of the machine, into its table.

use osiris_sdk::{Array, Extractor, Output, Result, context};

struct Echo;

impl Extractor for Echo {
    type Config = serde_json::Value;

    fn extract(config: serde_json::Value, output: Output) -> Result<()> {
        println!("printed by the guest");
        let environment =
            format!("{:?} {:?}", std::env::vars().collect::<Vec<_>>(), std::env::args().collect::<Vec<_>>());
        let secret = context::secret("connection.password").unwrap_or_default();
        let columns = vec![
            ("config", Array::from(vec![config.to_string()])),
            ("environment", Array::from(vec![environment])),
            ("password_bytes", Array::from(vec![i64::try_from(secret.len()).unwrap_or_default()])),
        ];
        output.write_columns("main", columns)?;
        Ok(())
    }
}

osiris_sdk::export!(Echo: extractor);
