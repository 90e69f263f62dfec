//! DuckDB's column types: their SQL text, and the type in which each crosses to a guest.

#![expect(unsafe_code, reason = "calls DuckDB's C API")]

use std::ffi::CStr;

use duckdb::ffi;

use super::{Types, quote_name};

/// A column type, owned.
pub struct LogicalType(ffi::duckdb_logical_type);

impl Drop for LogicalType {
    fn drop(&mut self) {
        // SAFETY: taken over once in `take`, destroyed once.
        unsafe { ffi::duckdb_destroy_logical_type(&mut self.0) }
    }
}

/// Why a type cannot cross to a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotCross(pub String);

impl LogicalType {
    /// Takes over a handle that DuckDB made for the caller.
    pub(super) fn take(raw: ffi::duckdb_logical_type) -> Self {
        Self(raw)
    }

    fn id(&self) -> ffi::DUCKDB_TYPE {
        // SAFETY: the type is live.
        unsafe { ffi::duckdb_get_type_id(self.0) }
    }

    fn alias(&self) -> Option<String> {
        // SAFETY: the type is live; the text is ours to free.
        let alias = unsafe { taken(ffi::duckdb_logical_type_get_alias(self.0)) };
        (!alias.is_empty()).then_some(alias)
    }

    /// The type as SQL.
    ///
    /// # Errors
    /// Names a type that no SQL text can recreate.
    pub fn sql(&self) -> Result<String, CannotCross> {
        self.render(None)
    }

    /// The type in which this type's values cross to a guest. With exact types it is the type itself, except for an
    /// ENUM, which crosses as text because Arrow would make it a dictionary. With plain types, a type that Arrow lacks
    /// is replaced by one that every language has.
    ///
    /// # Errors
    /// Names a type that has no form in Arrow.
    pub fn crossing_sql(&self, types: Types) -> Result<String, CannotCross> {
        self.render(Some(types))
    }

    fn render(&self, crossing: Option<Types>) -> Result<String, CannotCross> {
        let is_plain = crossing == Some(Types::Plain);
        let simple = match self.id() {
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_HUGEINT | ffi::DUCKDB_TYPE_DUCKDB_TYPE_UHUGEINT if is_plain => "DECIMAL(38,0)",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIT
            | ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGNUM
            | ffi::DUCKDB_TYPE_DUCKDB_TYPE_UUID
            | ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME_TZ
            | ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTERVAL
            | ffi::DUCKDB_TYPE_DUCKDB_TYPE_UNION
            | ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR
                if is_plain =>
            {
                "VARCHAR"
            }
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BOOLEAN => "BOOLEAN",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TINYINT => "TINYINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_SMALLINT => "SMALLINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTEGER => "INTEGER",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT => "BIGINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UTINYINT => "UTINYINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_USMALLINT => "USMALLINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UINTEGER => "UINTEGER",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UBIGINT => "UBIGINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_FLOAT => "FLOAT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_DOUBLE => "DOUBLE",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP => "TIMESTAMP",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_DATE => "DATE",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME => "TIME",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_INTERVAL => "INTERVAL",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_HUGEINT => "HUGEINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UHUGEINT => "UHUGEINT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BLOB => "BLOB",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_S => "TIMESTAMP_S",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_MS => "TIMESTAMP_MS",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_NS => "TIMESTAMP_NS",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_UUID => "UUID",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIT => "BIT",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME_TZ => "TIMETZ",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIMESTAMP_TZ => "TIMESTAMPTZ",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGNUM => "BIGNUM",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_TIME_NS => "TIME_NS",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_SQLNULL => "INTEGER",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR => {
                return Ok(if self.alias().as_deref() == Some("JSON") { "JSON" } else { "VARCHAR" }.to_owned());
            }
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_ENUM if crossing.is_some() => "VARCHAR",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_GEOMETRY => "GEOMETRY",
            ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARIANT => return Err(CannotCross("VARIANT".to_owned())),
            _ => return self.composite(crossing),
        };
        Ok(simple.to_owned())
    }

    fn composite(&self, crossing: Option<Types>) -> Result<String, CannotCross> {
        // SAFETY: the type is live and has the id that each function requires; children, names and values are handed
        // over to us.
        unsafe {
            match self.id() {
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_DECIMAL => {
                    Ok(format!("DECIMAL({},{})", ffi::duckdb_decimal_width(self.0), ffi::duckdb_decimal_scale(self.0)))
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_ENUM => {
                    let values = (0..ffi::duckdb_enum_dictionary_size(self.0))
                        .map(|index| super::quote_text(&taken(ffi::duckdb_enum_dictionary_value(self.0, index.into()))))
                        .collect::<Vec<_>>();
                    Ok(format!("ENUM({})", values.join(", ")))
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_LIST => {
                    let child = Self(ffi::duckdb_list_type_child_type(self.0)).render(crossing)?;
                    Ok(format!("{child}[]"))
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_ARRAY => {
                    let child = Self(ffi::duckdb_array_type_child_type(self.0)).render(crossing)?;
                    Ok(format!("{child}[{}]", ffi::duckdb_array_type_array_size(self.0)))
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_MAP => {
                    let key = Self(ffi::duckdb_map_type_key_type(self.0)).render(crossing)?;
                    let value = Self(ffi::duckdb_map_type_value_type(self.0)).render(crossing)?;
                    Ok(format!("MAP({key}, {value})"))
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_STRUCT => {
                    let parts = (0..ffi::duckdb_struct_type_child_count(self.0))
                        .map(|index| {
                            let name = taken(ffi::duckdb_struct_type_child_name(self.0, index));
                            let kind = Self(ffi::duckdb_struct_type_child_type(self.0, index)).render(crossing)?;
                            Ok(format!("{} {kind}", quote_name(&name)))
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    Ok(format!("STRUCT({})", parts.join(", ")))
                }
                ffi::DUCKDB_TYPE_DUCKDB_TYPE_UNION => {
                    let parts = (0..ffi::duckdb_union_type_member_count(self.0))
                        .map(|index| {
                            let name = taken(ffi::duckdb_union_type_member_name(self.0, index));
                            let kind = Self(ffi::duckdb_union_type_member_type(self.0, index)).render(crossing)?;
                            Ok(format!("{} {kind}", quote_name(&name)))
                        })
                        .collect::<Result<Vec<_>, _>>()?;
                    Ok(format!("UNION({})", parts.join(", ")))
                }
                other => Err(CannotCross(self.alias().unwrap_or_else(|| format!("type number {other}")))),
            }
        }
    }
}

/// Copies and frees a string that DuckDB allocated.
///
/// # Safety
/// `text` is null or a NUL-terminated string that DuckDB allocated for the caller.
pub(super) unsafe fn taken(text: *mut std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises; freed once.
    unsafe {
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        ffi::duckdb_free(text.cast());
        copy
    }
}
