//! DuckDB's C API for appending: chunks from Arrow arrays, and appenders.

#![expect(unsafe_code, reason = "calls DuckDB's C API")]

use super::*;

/// An Arrow schema as DuckDB understands it, for arrays on their way in.
pub struct ConvertedSchema {
    raw: ffi::duckdb_arrow_converted_schema,
    connection: Arc<Connection>,
}

// SAFETY: a plain structure that DuckDB only reads.
unsafe impl Send for ConvertedSchema {}

impl ConvertedSchema {
    /// `schema` is a struct with one child per column.
    pub fn new(connection: &Arc<Connection>, schema: &mut FFI_ArrowSchema) -> Result<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: the connection is open; the schema is valid and stays ours.
        let error = unsafe { ffi::duckdb_schema_from_arrow(connection.raw, ptr::from_mut(schema).cast(), &mut raw) };
        let converted = Self { raw, connection: Arc::clone(connection) };
        check(error)?;
        Ok(converted)
    }

    /// Turns a struct array into a chunk over the array's own buffers.
    ///
    /// DuckDB's function frees the array after the first column that does not keep a reference to it, before it reads
    /// the next (1.5.6). So it receives a copy of the structure that frees nothing, and the chunk keeps the array
    /// itself.
    pub fn chunk(&self, array: &ArrayData) -> Result<Chunk> {
        let mut kept = FFI_ArrowArray::new(array);
        let mut raw = ptr::null_mut();
        // SAFETY: both structures have the layout of the C Data Interface. The copy is only read,
        // and `kept`, which owns what it points to, lives in the chunk until after the chunk is
        // destroyed. The array is a valid one of the schema's type (the caller validated it).
        let error = unsafe {
            let mut lent: ffi::ArrowArray = ptr::from_mut(&mut kept).cast::<ffi::ArrowArray>().read();
            lent.release = Some(forget);
            ffi::duckdb_data_chunk_from_arrow(self.connection.raw, &mut lent, self.raw, &mut raw)
        };
        let chunk = Chunk { raw, _array: kept };
        check(error)?;
        Ok(chunk)
    }
}

/// The release callback of a lent array: marks the structure as released, as the C Data Interface
/// asks, and frees nothing.
unsafe extern "C" fn forget(array: *mut ffi::ArrowArray) {
    // SAFETY: DuckDB passes the structure whose callback this is.
    unsafe { (*array).release = None }
}

impl Drop for ConvertedSchema {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: made by DuckDB, destroyed once.
            unsafe { ffi::duckdb_destroy_arrow_converted_schema(&mut self.raw) }
        }
    }
}

/// Rows in DuckDB's own layout.
pub struct Chunk {
    raw: ffi::duckdb_data_chunk,
    _array: FFI_ArrowArray,
}

impl Chunk {
    /// The types of its columns.
    pub fn types(&self) -> Vec<LogicalType> {
        // SAFETY: the chunk is live; each type is handed over to us.
        unsafe {
            (0..ffi::duckdb_data_chunk_get_column_count(self.raw))
                .map(|index| {
                    let vector = ffi::duckdb_data_chunk_get_vector(self.raw, index);
                    LogicalType::take(ffi::duckdb_vector_get_column_type(vector))
                })
                .collect()
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: made by DuckDB, destroyed once.
            unsafe { ffi::duckdb_destroy_data_chunk(&mut self.raw) }
        }
    }
}

/// Appends chunks to one table; columns are cast to the table's types where they differ.
pub struct Appender {
    raw: ffi::duckdb_appender,
    _connection: Arc<Connection>,
}

// SAFETY: used by one owner at a time; DuckDB ties it to no thread.
unsafe impl Send for Appender {}

impl Appender {
    pub fn new(connection: &Arc<Connection>, catalog: &str, table: &str) -> Result<Self> {
        let (catalog, schema, table) = (text(catalog)?, text("main")?, text(table)?);
        let mut raw = ptr::null_mut();
        // SAFETY: the connection is open and the texts outlive the call.
        let state = unsafe {
            ffi::duckdb_appender_create_ext(connection.raw, catalog.as_ptr(), schema.as_ptr(), table.as_ptr(), &mut raw)
        };
        let appender = Self { raw, _connection: Arc::clone(connection) };
        appender.outcome(state)?;
        Ok(appender)
    }

    fn outcome(&self, state: ffi::duckdb_state) -> Result<()> {
        if state == ffi::DuckDBSuccess {
            return Ok(());
        }
        // SAFETY: the appender is live, also after an error.
        check(unsafe { ffi::duckdb_appender_error_data(self.raw) })?;
        Err(EngineError::new("Unknown Error: DuckDB could not append and gave no reason"))
    }

    pub fn append(&self, chunk: &Chunk) -> Result<()> {
        // SAFETY: both are live; DuckDB copies the chunk.
        self.outcome(unsafe { ffi::duckdb_append_data_chunk(self.raw, chunk.raw) })
    }

    /// Writes out what is still buffered and closes the table.
    pub fn close(&self) -> Result<()> {
        // SAFETY: the appender is live.
        self.outcome(unsafe { ffi::duckdb_appender_close(self.raw) })
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // SAFETY: destroyed once.
        unsafe {
            ffi::duckdb_appender_destroy(&mut self.raw);
        }
    }
}
