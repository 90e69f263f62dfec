//! The columns that name the folders of a partitioned table, and whether every value of theirs comes back from a folder's name.

use conversions::SourceType;
use osiris_sdk::sql::{query, quote_name, quote_text};
use osiris_sdk::{Error, Input, Result, context};
use serde::Deserialize;

/// The option `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The whole file or folder is replaced.
    Replace,
    /// Partitions are replaced for which the input has rows.
    ReplacePartitions,
}

/// The options about partitions.
#[derive(Debug, Deserialize)]
pub struct Partitioning {
    #[serde(default)]
    partition_by: Vec<String>,
    mode: Option<Mode>,
    write_partition_columns: bool,
    max_partitions: u64,
}

/// The longest name of a folder, in bytes.
const MAX_NAME: usize = 255;

/// The name of the folder of nulls.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

impl Partitioning {
    pub fn is_wanted(&self) -> bool {
        !self.partition_by.is_empty()
    }

    /// The options of COPY that divide an input of these columns into partitions, in the order of `partition_by`.
    ///
    /// # Errors
    /// `config` for columns that cannot name folders, `data` for values that cannot.
    pub fn options(&self, input: &Input, columns: &[(String, SourceType)]) -> Result<Vec<(&'static str, String)>> {
        if !self.is_wanted() {
            return match self.mode {
                Some(Mode::ReplacePartitions) => Err(Error::config(
                    "`mode: replace_partitions` is for a folder of partitions: name its columns in `partition_by`",
                )),
                _ => Ok(Vec::new()),
            };
        }
        let mut keys: Vec<(&str, &SourceType)> = Vec::new();
        for wanted in &self.partition_by {
            let (name, kind) = columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
                let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
                Error::config(format!(
                    "`partition_by` names `{wanted}`, which the input does not have; it has: `{}`",
                    known.join("`, `")
                ))
            })?;
            if keys.iter().any(|(key, _)| key == name) {
                return Err(Error::config(format!("`partition_by` names `{name}` twice")));
            }
            if !names_folders(kind) {
                return Err(Error::config(format!(
                    "column `{name}` is {kind}, whose values cannot name folders: partition by text, whole numbers, decimals, \
                     booleans, days or times, or cast it in SQL"
                )));
            }
            keys.push((name, kind));
        }
        if keys.len() == columns.len() && !self.write_partition_columns {
            return Err(Error::config(
                "`partition_by` names all columns of the input, so the files would have none; \
                 `write_partition_columns: true` keeps them in the files too",
            ));
        }
        self.check_count(input, &keys)?;
        for (name, kind) in &keys {
            check_values(input, name, kind)?;
        }
        let replace = if self.mode == Some(Mode::Replace) { "all" } else { "partitions" };
        let mut options = vec![
            ("replace", replace.to_owned()),
            ("write_partition_columns", self.write_partition_columns.to_string()),
        ];
        options.extend(keys.iter().map(|(name, _)| ("partition_by", (*name).to_owned())));
        Ok(options)
    }

    /// Checks that there are not too many partitions.
    fn check_count(&self, input: &Input, keys: &[(&str, &SourceType)]) -> Result<()> {
        let names: Vec<String> = keys.iter().map(|(name, _)| quote_name(name)).collect();
        let select =
            format!("select count(*)::varchar from (select distinct {} from {})", names.join(", "), input.sql_name());
        let count: u64 = first_texts(&select, 1)?.and_then(|texts| texts.first()?.parse().ok()).unwrap_or_default();
        if count > self.max_partitions {
            return Err(Error::data(format!(
                "the input has {count} partitions by {}, and `max_partitions` is {}: partition by a coarser value, such as the \
                 month instead of the day, or allow more (at most 5000)",
                names.join(", "),
                self.max_partitions
            )));
        }
        context::info("partitions", &[("partitions", &count)]);
        Ok(())
    }
}

/// Whether each value of a type comes back from its text.
fn names_folders(kind: &SourceType) -> bool {
    use SourceType::{
        BigInt, Boolean, Date, Decimal, Enum, HugeInt, Integer, SmallInt, Time, Timestamp, TimestampMs, TimestampNs,
        TimestampS, TimestampTz, TinyInt, UBigInt, UHugeInt, UInteger, USmallInt, UTinyInt, Uuid, Varchar,
    };
    matches!(
        kind,
        Boolean
            | TinyInt
            | SmallInt
            | Integer
            | BigInt
            | HugeInt
            | UTinyInt
            | USmallInt
            | UInteger
            | UBigInt
            | UHugeInt
            | Decimal { .. }
            | Varchar
            | Enum(_)
            | Uuid
            | Date
            | Time
            | Timestamp
            | TimestampS
            | TimestampMs
            | TimestampNs
            | TimestampTz
    )
}

/// Checks that no value is one that readers take for null, or is too long for the name of a folder.
fn check_values(input: &Input, name: &str, kind: &SourceType) -> Result<()> {
    let (column, table) = (quote_name(name), input.sql_name());
    let text = "cast(value as varchar)";
    let length = format!("strlen(url_encode({}) || '=' || url_encode({text}))", quote_text(name));
    let first = format!(
        "select number::varchar, left({text}, 60), contains({text}, chr(0))::varchar from (select row_number() over () as number, {column} as value \
         from {table}) where lower({text}) in ('null', {}) or contains({text}, chr(0)) or {length} > {MAX_NAME} order by number limit 1",
        quote_text(&NULL.to_lowercase())
    );
    let Some(found) = first_texts(&first, 3)? else { return Ok(()) };
    let [row, value, has_nul] = &found[..] else { return Ok(()) };
    let is_null_text = value.eq_ignore_ascii_case("null") || value.eq_ignore_ascii_case(NULL);
    let why = if is_null_text {
        "readers of partitions take this text for null; write another one in SQL, or true nulls".to_owned()
    } else if has_nul == "true" {
        "it has a NUL character, which readers refuse in the name of a file".to_owned()
    } else {
        format!(
            "the name of its folder would be longer than {MAX_NAME} bytes; partition by something shorter, such as `left({name}, 20)` in SQL"
        )
    };
    Err(Error::data(format!(
        "column `{name}` ({kind}), row {row}: `{}` cannot name a partition: {why}",
        value.replace('\0', "\\0")
    )))
}

/// The first `width` values of a SELECT's first row, which are texts.
fn first_texts(select: &str, width: usize) -> Result<Option<Vec<String>>> {
    let Some(batch) = query(select)?.next_batch()? else { return Ok(None) };
    let text = |place| Ok(batch.column_at(place).strings()?.get(0).unwrap_or_default().to_owned());
    (0..width).map(text).collect::<Result<Vec<String>>>().map(Some)
}
