//! A driver that attacks in the way its config names. One attack a file; its head says what stops it.

mod prelude;

use prelude::{Config, Error, ErrorKind, Guest, Input, Output, Step, context};

macro_rules! attacks {
    ($($name:ident)*) => {
        $(mod $name;)*

        fn attack(step: &Step) -> Option<prelude::Outcome> {
            match step.config.attack.as_str() {
                $(stringify!($name) => Some($name::run(step)),)*
                _ => None,
            }
        }
    };
}

attacks! {
    append_after_finish
    bad_utf8
    bool_byte
    clock_flood
    column_name_injection
    column_projection_injection
    copy_option_name
    copy_option_value
    copy_statement
    cpu_hog
    decimal_too_wide
    endless_errors
    endless_loop
    exit_now
    false_metric
    file_create_elsewhere
    file_create_pipeline
    file_list_elsewhere
    file_open_passwd
    file_open_spelling
    foreign_secret
    forged_handle
    format_width
    half_table
    huge_batch
    huge_error
    huge_log
    huge_names
    huge_sql
    json_append_after_finish
    json_depth
    json_half_table
    json_huge_record
    json_malformed
    json_members_without_end
    json_name_injection
    json_readers
    json_records_without_end
    json_type_injection
    lie_length
    lie_row_count
    list_child_short
    log_injection
    long_log
    memory_bomb
    million_handles
    million_logs
    million_metrics
    million_progress
    million_queries
    million_readers
    million_tables
    nan_payload
    no_buffers
    nulls_without_end
    offset_falling
    offset_negative
    offset_out_of_range
    output_bomb
    own_input_by_number
    panic_now
    print_flood
    read_after_end
    reject_huge
    rows_without_bytes
    schema_children
    schema_depth
    schema_empty
    schema_width
    secret_in_config
    secret_in_error
    secret_in_logs
    secret_in_panic
    short_buffer
    short_validity
    split_character
    sql
    stack_overflow
    struct_child_short
    table_name_empty
    table_name_injection
    table_twice
    temporary_bomb
    temporary_climb
    terminal_escape
    too_few_nodes
    too_many_buffers
    too_many_nodes
    trap_now
    type_injection
    union_type_ids
    unknown_format
    use_after_drop
    warnings
    wasi_arguments
    wasi_climb
    wasi_environment
    wasi_list_root
    wasi_read_passwd
    wasi_resolve
    wasi_sleep
    wasi_stdin
    wasi_tcp_ip
    wasi_tcp_listen
    wasi_tcp_loopback
    wasi_tcp_metadata
    wasi_udp
    wasi_write_tmp
    wrong_handle_type
}

struct Attacker;

impl Guest for Attacker {
    fn run(inputs: Vec<Input>, output: Output) -> Result<(), Error> {
        let config: Config = serde_json::from_str(&context::config()).map_err(|why| failure(why.to_string()))?;
        let step = Step { inputs: &inputs, output: &output, config };
        match attack(&step) {
            Some(outcome) => outcome.map_err(|why| failure(format!("refused: {why}"))),
            None => Err(failure(format!("no attack is called `{}`", step.config.attack))),
        }
    }
}

fn failure(message: String) -> Error {
    Error { kind: ErrorKind::Internal, message, code: None, retry_after_ms: None }
}

#[expect(unsafe_code, reason = "what `export!` declares: the functions that the host calls")]
mod exports {
    use super::Attacker;

    crate::prelude::export!(Attacker with_types_in crate::prelude);
}
