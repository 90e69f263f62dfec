//! DuckDB's C API behind safe types: the only module that calls into the library.
//!
//! The `duckdb` crate's own statement and appender types convert columns with their own code, which supports fewer
//! types than DuckDB; DuckDB's C functions for Arrow (stable since 1.5) preserve all of them. Every function here turns
//! DuckDB's error text into an `EngineError`.

#![expect(unsafe_code, reason = "calls DuckDB's C API")]

mod append;
mod exact;

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::Arc;

use duckdb::arrow::array::cast::AsArray;
use duckdb::arrow::array::ffi::FFI_ArrowArray;
use duckdb::arrow::array::{ArrayData, ArrayRef, make_array};
use duckdb::arrow::datatypes::{DataType, Int64Type};
use duckdb::arrow::ffi::{FFI_ArrowSchema, from_ffi_and_data_type};
use duckdb::ffi;

use super::logical_type::{LogicalType, taken};
use super::{Cause, EngineError};
pub use append::{Appender, ConvertedSchema};

type Result<T> = std::result::Result<T, EngineError>;

fn text(value: &str) -> Result<CString> {
    CString::new(value).map_err(|_| EngineError::data("Invalid Input Error: text holds a NUL character"))
}

/// Copies DuckDB's message, which DuckDB still owns.
fn message(text: *const c_char) -> EngineError {
    if text.is_null() {
        return EngineError::new("Unknown Error: DuckDB gave no reason");
    }
    // SAFETY: not null, and DuckDB's error texts are NUL-terminated and outlive this call.
    EngineError::new(unsafe { CStr::from_ptr(text) }.to_string_lossy())
}

/// Copies DuckDB's message about `statement`, which DuckDB still owns.
fn message_in(text: *const c_char, statement: &str) -> EngineError {
    if text.is_null() {
        return message(text);
    }
    // SAFETY: not null, and DuckDB's error texts are NUL-terminated and outlive this call.
    EngineError::in_statement(&unsafe { CStr::from_ptr(text) }.to_string_lossy(), Some(statement))
}

/// The error of a failed result, which is live.
fn result_error(result: &mut ffi::duckdb_result) -> EngineError {
    // SAFETY: the result is live; DuckDB keeps owning the text.
    let (error, kind) = unsafe { (message(ffi::duckdb_result_error(result)), ffi::duckdb_result_error_type(result)) };
    typed(error, kind)
}

/// An error with the cause that its type gives, except if its text is more precise: about a failed file operation, and
/// about whether memory or the room to spill ran out.
fn typed(error: EngineError, kind: ffi::duckdb_error_type) -> EngineError {
    let is_told = kind == ffi::duckdb_error_type_DUCKDB_ERROR_IO || matches!(error.cause, Cause::Spill);
    if is_told { error } else { EngineError { cause: cause(kind), ..error } }
}

/// The meaning of a type of DuckDB error for a step.
fn cause(kind: ffi::duckdb_error_type) -> Cause {
    match kind {
        ffi::duckdb_error_type_DUCKDB_ERROR_PARSER
        | ffi::duckdb_error_type_DUCKDB_ERROR_SYNTAX
        | ffi::duckdb_error_type_DUCKDB_ERROR_BINDER
        | ffi::duckdb_error_type_DUCKDB_ERROR_CATALOG
        | ffi::duckdb_error_type_DUCKDB_ERROR_NOT_IMPLEMENTED => Cause::Statement,
        ffi::duckdb_error_type_DUCKDB_ERROR_PERMISSION => Cause::Denied,
        ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_MEMORY => Cause::Memory,
        ffi::duckdb_error_type_DUCKDB_ERROR_INTERRUPT => Cause::Interrupted,
        ffi::duckdb_error_type_DUCKDB_ERROR_IO
        | ffi::duckdb_error_type_DUCKDB_ERROR_CONVERSION
        | ffi::duckdb_error_type_DUCKDB_ERROR_INVALID_INPUT
        | ffi::duckdb_error_type_DUCKDB_ERROR_OUT_OF_RANGE
        | ffi::duckdb_error_type_DUCKDB_ERROR_CONSTRAINT
        | ffi::duckdb_error_type_DUCKDB_ERROR_MISMATCH_TYPE => Cause::Data,
        _ => Cause::Internal,
    }
}

fn check(mut error: ffi::duckdb_error_data) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null handle that the caller just received; destroyed once, after its text is copied.
    unsafe {
        let result = if ffi::duckdb_error_data_has_error(error) {
            Err(typed(message(ffi::duckdb_error_data_message(error)), ffi::duckdb_error_data_error_type(error)))
        } else {
            Ok(())
        };
        ffi::duckdb_destroy_error_data(&mut error);
        result
    }
}

/// An in-memory database with the functions that Osiris adds, closed when the last connection to it is gone.
pub struct Database(ffi::duckdb_database);

// SAFETY: a DuckDB database handle may be used from any thread.
unsafe impl Send for Database {}
// SAFETY: as above; opening connections is synchronised inside DuckDB.
unsafe impl Sync for Database {}

impl Database {
    pub fn open_in_memory(settings: &[(&str, &str)]) -> Result<Arc<Self>> {
        let path = text(":memory:")?;
        let mut config = ptr::null_mut();
        let mut database = ptr::null_mut();
        let mut error = ptr::null_mut();
        // SAFETY: every out-pointer is a live local; the texts outlive the calls; `config` is
        // destroyed once; `error` is freed once by `taken`.
        unsafe {
            ffi::duckdb_create_config(&mut config);
            for (name, value) in settings {
                let (name, value) = (text(name)?, text(value)?);
                ffi::duckdb_set_config(config, name.as_ptr(), value.as_ptr());
            }
            let state = ffi::duckdb_open_ext(path.as_ptr(), &mut database, config, &mut error);
            ffi::duckdb_destroy_config(&mut config);
            if state != ffi::DuckDBSuccess {
                return Err(EngineError::new(taken(error)));
            }
        }
        let database = Arc::new(Self(database));
        let connection = database.connect()?;
        exact::register(&connection)?;
        Ok(database)
    }

    pub fn connect(self: &Arc<Self>) -> Result<Arc<Connection>> {
        let mut raw = ptr::null_mut();
        // SAFETY: the database is open for as long as `self` lives.
        if unsafe { ffi::duckdb_connect(self.0, &mut raw) } != ffi::DuckDBSuccess {
            return Err(EngineError::new("Connection Error: cannot connect to the database"));
        }
        Ok(Arc::new(Connection { raw, _database: Arc::clone(self) }))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: opened once, closed once; connections hold an `Arc` and are gone by now.
        unsafe { ffi::duckdb_close(&mut self.0) }
    }
}

/// One connection. Statements, rows and appenders keep it alive.
pub struct Connection {
    raw: ffi::duckdb_connection,
    _database: Arc<Database>,
}

// SAFETY: DuckDB guards a connection with a lock of its own.
unsafe impl Send for Connection {}
// SAFETY: as above; `duckdb_interrupt` is made to be called from another thread.
unsafe impl Sync for Connection {}

impl Connection {
    /// Runs one or more statements; returns how many rows the last one changed.
    pub fn execute(&self, sql: &str) -> Result<u64> {
        let sql = text(sql)?;
        let mut result = empty_result();
        // SAFETY: the connection is open; `result` is destroyed once, also after an error.
        unsafe {
            let state = ffi::duckdb_query(self.raw, sql.as_ptr(), &mut result);
            let outcome = if state == ffi::DuckDBSuccess {
                Ok(ffi::duckdb_rows_changed(&mut result))
            } else {
                Err(result_error(&mut result))
            };
            ffi::duckdb_destroy_result(&mut result);
            outcome
        }
    }

    /// Why a text cannot be parsed, in DuckDB's words. The text is not bound.
    pub fn syntax_error(&self, select: &str) -> EngineError {
        let sql = match text(select) {
            Ok(sql) => sql,
            Err(error) => return error,
        };
        let mut extracted = ptr::null_mut();
        // SAFETY: the connection is open; `extracted` is destroyed once, after its text is copied.
        unsafe {
            ffi::duckdb_extract_statements(self.raw, sql.as_ptr(), &mut extracted);
            let reason = ffi::duckdb_extract_statements_error(extracted);
            let error = if reason.is_null() {
                EngineError::refused("a statement that cannot be parsed")
            } else {
                message_in(reason, select)
            };
            ffi::duckdb_destroy_extracted(&mut extracted);
            error
        }
    }

    /// Prepares exactly one SELECT; the error for anything else uses DuckDB's own name for the statement.
    pub fn prepare_select(self: &Arc<Self>, select: &str) -> Result<Statement> {
        let sql = text(select)?;
        let mut extracted = ptr::null_mut();
        let mut raw = ptr::null_mut();
        // SAFETY: the connection is open; `extracted` and `raw` are destroyed once each, `raw` by
        // the `Statement` that is made before anything can fail.
        unsafe {
            let count = ffi::duckdb_extract_statements(self.raw, sql.as_ptr(), &mut extracted);
            if count != 1 {
                let error = match count {
                    0 => {
                        let reason = ffi::duckdb_extract_statements_error(extracted);
                        if reason.is_null() {
                            EngineError::statement("Parser Error: the text holds no statement")
                        } else {
                            message_in(reason, select)
                        }
                    }
                    _ => EngineError::refused(format!("{count} statements where one SELECT is allowed")),
                };
                ffi::duckdb_destroy_extracted(&mut extracted);
                return Err(error);
            }
            let state = ffi::duckdb_prepare_extracted_statement(self.raw, extracted, 0, &mut raw);
            ffi::duckdb_destroy_extracted(&mut extracted);
            let statement = Statement { raw, connection: Arc::clone(self) };
            if state != ffi::DuckDBSuccess {
                return Err(message_in(ffi::duckdb_prepare_error(raw), select));
            }
            let kind = ffi::duckdb_prepared_statement_type(raw);
            if kind != ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_SELECT {
                return Err(EngineError::refused(super::statement::NO_SELECT));
            }
            if ffi::duckdb_nparams(raw) != 0 {
                return Err(EngineError::refused("a SELECT with parameters that nobody binds"));
            }
            Ok(statement)
        }
    }

    /// The first column of a small SELECT's first rows, such as its one value.
    pub fn first_column(self: &Arc<Self>, select: &str) -> Result<Option<ArrayRef>> {
        let rows = self.prepare_select(select)?.stream()?.next()?;
        Ok(rows.and_then(|rows| rows.child_data().first().cloned()).map(make_array))
    }

    /// The single whole number that a SELECT returns; 0 if it returns none.
    pub fn number(self: &Arc<Self>, select: &str) -> Result<u64> {
        Ok(self.first_column(select)?.map_or(0, |column| column.as_primitive::<Int64Type>().value(0) as u64))
    }

    /// Stops what the connection is running, from any thread.
    pub fn interrupt(&self) {
        // SAFETY: the connection is open, and DuckDB allows this call from any thread.
        unsafe { ffi::duckdb_interrupt(self.raw) }
    }

    /// Processed rows and total rows of the running query, as far as DuckDB can tell.
    pub fn progress(&self) -> (u64, u64) {
        // SAFETY: the connection is open, and DuckDB allows this call from any thread.
        let progress = unsafe { ffi::duckdb_query_progress(self.raw) };
        (progress.rows_processed, progress.total_rows_to_process)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: connected once, disconnected once.
        unsafe { ffi::duckdb_disconnect(&mut self.raw) }
    }
}

/// A prepared SELECT.
pub struct Statement {
    raw: ffi::duckdb_prepared_statement,
    connection: Arc<Connection>,
}

impl Statement {
    /// The names and types of its columns.
    pub fn columns(&self) -> Vec<(String, LogicalType)> {
        // SAFETY: the statement is prepared; names and types are handed over to us.
        unsafe {
            (0..ffi::duckdb_prepared_statement_column_count(self.raw))
                .map(|index| {
                    let name = taken(ffi::duckdb_prepared_statement_column_name(self.raw, index).cast_mut());
                    let kind = ffi::duckdb_prepared_statement_column_logical_type(self.raw, index);
                    (name, LogicalType::take(kind))
                })
                .collect()
        }
    }

    /// Runs it and returns rows as they are produced; only the next chunk is in memory.
    pub fn stream(self) -> Result<Rows> {
        let mut result = empty_result();
        // SAFETY: the statement is prepared; `Rows` destroys the result, also after an error.
        let state = unsafe { ffi::duckdb_execute_prepared_streaming(self.raw, &mut result) };
        let mut rows = Rows { result, data_type: None, _connection: Arc::clone(&self.connection) };
        if state != ffi::DuckDBSuccess {
            return Err(rows.error());
        }
        rows.data_type = Some(DataType::try_from(&rows.schema()?).map_err(EngineError::arrow)?);
        Ok(rows)
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: destroyed once; DuckDB accepts statements whose preparation failed.
        unsafe { ffi::duckdb_destroy_prepare(&mut self.raw) }
    }
}

/// The rows of a running SELECT, as Arrow struct arrays of up to 2,048 rows.
pub struct Rows {
    result: ffi::duckdb_result,
    data_type: Option<DataType>,
    _connection: Arc<Connection>,
}

// SAFETY: a result is used by one owner at a time and DuckDB ties it to no thread.
unsafe impl Send for Rows {}

impl Rows {
    fn error(&mut self) -> EngineError {
        result_error(&mut self.result)
    }

    /// The Arrow schema: a struct with one child per column.
    pub fn schema(&mut self) -> Result<FFI_ArrowSchema> {
        let mut schema = FFI_ArrowSchema::empty();
        // SAFETY: the result is live; names and types live until the call returns; the schema is
        // an empty structure of the standard's layout that DuckDB fills and Rust releases.
        unsafe {
            let count = ffi::duckdb_column_count(&mut self.result);
            let mut kinds = Vec::new();
            let mut names = Vec::new();
            for index in 0..count {
                kinds.push(ffi::duckdb_column_logical_type(&mut self.result, index));
                names.push(ffi::duckdb_column_name(&mut self.result, index));
            }
            let mut options = ffi::duckdb_result_get_arrow_options(&mut self.result);
            let error = ffi::duckdb_to_arrow_schema(
                options,
                kinds.as_mut_ptr(),
                names.as_mut_ptr(),
                count,
                ptr::from_mut(&mut schema).cast(),
            );
            ffi::duckdb_destroy_arrow_options(&mut options);
            for mut kind in kinds {
                ffi::duckdb_destroy_logical_type(&mut kind);
            }
            check(error)?;
        }
        Ok(schema)
    }

    /// The next chunk of rows.
    pub fn next(&mut self) -> Result<Option<ArrayData>> {
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: the result is live; the chunk is destroyed once; the array is an empty structure
        // of the standard's layout that DuckDB fills.
        unsafe {
            let mut chunk = ffi::duckdb_fetch_chunk(self.result);
            if chunk.is_null() {
                let reason = ffi::duckdb_result_error(&mut self.result);
                return if reason.is_null() { Ok(None) } else { Err(result_error(&mut self.result)) };
            }
            if ffi::duckdb_data_chunk_get_size(chunk) == 0 {
                ffi::duckdb_destroy_data_chunk(&mut chunk);
                return Ok(None);
            }
            let mut options = ffi::duckdb_result_get_arrow_options(&mut self.result);
            let error = ffi::duckdb_data_chunk_to_arrow(options, chunk, ptr::from_mut(&mut array).cast());
            ffi::duckdb_destroy_arrow_options(&mut options);
            ffi::duckdb_destroy_data_chunk(&mut chunk);
            check(error)?;
        }
        let data_type = self.data_type.clone().unwrap_or(DataType::Null);
        // SAFETY: DuckDB filled the array for the schema that `data_type` was read from.
        unsafe { from_ffi_and_data_type(array, data_type) }.map(Some).map_err(EngineError::arrow)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        // SAFETY: destroyed once.
        unsafe { ffi::duckdb_destroy_result(&mut self.result) }
    }
}

fn empty_result() -> ffi::duckdb_result {
    // SAFETY: a C structure of integers and pointers, for which all zeroes is the empty value.
    unsafe { std::mem::zeroed() }
}
