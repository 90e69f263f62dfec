//! `exact_bigint(text)`, which Osiris adds to DuckDB's functions.

#![expect(unsafe_code, reason = "calls DuckDB's C API")]

use std::slice;

use super::*;

/// The function's name in SQL.
const NAME: &CStr = c"exact_bigint";

/// Adds the function to the database of `connection`.
pub(super) fn register(connection: &Connection) -> Result<()> {
    // SAFETY: the connection is open; the name is NUL-terminated; DuckDB copies name and types, and each handle is
    // destroyed once.
    let state = unsafe {
        let mut function = ffi::duckdb_create_scalar_function();
        let mut text = ffi::duckdb_create_logical_type(ffi::DUCKDB_TYPE_DUCKDB_TYPE_VARCHAR);
        let mut bigint = ffi::duckdb_create_logical_type(ffi::DUCKDB_TYPE_DUCKDB_TYPE_BIGINT);
        ffi::duckdb_scalar_function_set_name(function, NAME.as_ptr());
        ffi::duckdb_scalar_function_add_parameter(function, text);
        ffi::duckdb_scalar_function_set_return_type(function, bigint);
        ffi::duckdb_scalar_function_set_function(function, Some(exact_bigint));
        let state = ffi::duckdb_register_scalar_function(connection.raw, function);
        ffi::duckdb_destroy_logical_type(&mut text);
        ffi::duckdb_destroy_logical_type(&mut bigint);
        ffi::duckdb_destroy_scalar_function(&mut function);
        state
    };
    if state == ffi::DuckDBSuccess {
        Ok(())
    } else {
        Err(EngineError::new("Internal Error: cannot add the function `exact_bigint`"))
    }
}

/// Fills `output`, BIGINT, from the only column of `input`, VARCHAR.
unsafe extern "C" fn exact_bigint(
    _info: ffi::duckdb_function_info,
    input: ffi::duckdb_data_chunk,
    output: ffi::duckdb_vector,
) {
    // SAFETY: DuckDB calls with a flat vector of the declared type, and with an output of at least as many values, all
    // of which are valid so far. A validity mask has a bit for each of them, and may be absent if all are valid.
    unsafe {
        let rows = ffi::duckdb_data_chunk_get_size(input) as usize;
        if rows == 0 {
            return;
        }
        let texts = ffi::duckdb_data_chunk_get_vector(input, 0);
        let present = ffi::duckdb_vector_get_validity(texts);
        let texts = slice::from_raw_parts(ffi::duckdb_vector_get_data(texts).cast::<ffi::duckdb_string_t>(), rows);
        let values = slice::from_raw_parts_mut(ffi::duckdb_vector_get_data(output).cast::<i64>(), rows);
        let mut valid = ptr::null_mut::<u64>();
        for (row, (text, value)) in texts.iter().zip(values).enumerate() {
            let is_present = present.is_null() || *present.add(row / 64) >> (row % 64) & 1 == 1;
            match is_present.then(|| parse(bytes(text))).flatten() {
                Some(number) => *value = number,
                None => {
                    if valid.is_null() {
                        ffi::duckdb_vector_ensure_validity_writable(output);
                        valid = ffi::duckdb_vector_get_validity(output);
                    }
                    *valid.add(row / 64) &= !(1 << (row % 64));
                }
            }
        }
    }
}

/// The bytes of a text.
///
/// # Safety
/// DuckDB made the text, and keeps what it points to.
unsafe fn bytes(text: &ffi::duckdb_string_t) -> &[u8] {
    // SAFETY: both forms start with the length, and it decides which of them the text has: up to 12 bytes are in place.
    unsafe {
        let length = text.value.inlined.length as usize;
        let start = if length <= text.value.inlined.inlined.len() {
            text.value.inlined.inlined.as_ptr()
        } else {
            text.value.pointer.ptr.cast_const()
        };
        slice::from_raw_parts(start.cast::<u8>(), length)
    }
}

/// The number whose only spelling in DuckDB is this text.
fn parse(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits == b"0" {
        return (!is_negative).then_some(0);
    }
    // 19 digits fit into 64 bits, whatever they are.
    if digits.is_empty() || digits[0] == b'0' || digits.len() > 19 {
        return None;
    }
    let mut size = 0_u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        size = size * 10 + u64::from(digit);
    }
    if is_negative { 0_i64.checked_sub_unsigned(size) } else { i64::try_from(size).ok() }
}
