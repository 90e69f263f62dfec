//! Writes granted files with DuckDB's own COPY.

use std::path::Path;

use super::{Engine, EngineError, Result, quote_name, quote_path, quote_text};

impl Engine {
    /// Writes the rows of one SELECT to a granted file with DuckDB's own writer.
    pub fn copy(&self, select: &str, path: &Path, format: &str, options: &[(String, String)]) -> Result<u64> {
        self.copy_with(select, path, format, options, &["USE_TMP_FILE false".to_owned()])
    }

    /// Writes the rows of one SELECT, with settings that are the host's own.
    pub(super) fn copy_with(
        &self,
        select: &str,
        path: &Path,
        format: &str,
        options: &[(String, String)],
        own: &[String],
    ) -> Result<u64> {
        // Locked to the end: the view belongs to the connection, and no other instance may change it meanwhile.
        let connection = self.control();
        let _running = self.status.run(self.status.is_authors(select));
        drop(self.prepare(&connection, select)?);
        let view = "osiris_copy";
        connection.execute(&format!("CREATE OR REPLACE TEMP VIEW {view} AS {select}"))?;
        let mut settings = vec![format!("FORMAT {format}")];
        for (name, value) in options {
            settings.push(copy_option(name, value)?);
        }
        settings.extend_from_slice(own);
        let copy = format!("COPY (FROM {view}) TO {} ({})", quote_path(path)?, settings.join(", "));
        self.status.note_error(connection.execute(&copy))
    }
}

/// One option of COPY. Its name is a word and its value a literal, whatever the guest wrote.
fn copy_option(name: &str, value: &str) -> Result<String> {
    const KNOWN: [&str; 15] = [
        "delimiter",
        "header",
        "quote",
        "escape",
        "nullstr",
        "force_quote",
        "dateformat",
        "timestampformat",
        "compression",
        "compression_level",
        "row_group_size",
        "row_group_size_bytes",
        "array",
        "parquet_version",
        "kv_metadata",
    ];
    let name = name.to_lowercase();
    if !KNOWN.contains(&name.as_str()) {
        return Err(EngineError::refused(format!("unknown COPY option `{name}`; known: {}", KNOWN.join(", "))));
    }
    let value = match value {
        "*" if name == "force_quote" => "*".to_owned(),
        _ if name == "force_quote" => format!("({})", quote_name(value)),
        // One entry of a Parquet file's metadata, as `key=text`.
        _ if name == "kv_metadata" => {
            let (key, text) = value
                .split_once('=')
                .ok_or_else(|| EngineError::refused(format!("the COPY option `{name}` takes `key=text`")))?;
            format!("{{{}: {}}}", quote_name(key), quote_text(text))
        }
        _ => quote_text(value),
    };
    Ok(format!("{name} {value}"))
}
