/* Shows that the contract alone, without an SDK, is enough to pass a table through a C guest. */

#include <stdlib.h>

#include "generated/processor.h"

/* Moves every row of `reader` to `writer`; frees each batch before it reads the next. */
static bool move_rows(osiris_driver_tables_borrow_reader_t reader,
                      osiris_driver_tables_borrow_table_writer_t writer, osiris_driver_tables_error_t *err)
{
    for (;;) {
        osiris_driver_tables_option_batch_t next;
        if (!osiris_driver_tables_method_reader_next(reader, &next, err))
            return false;
        if (!next.is_some)
            return true;
        bool appended = osiris_driver_tables_method_table_writer_append(writer, &next.val, err);
        osiris_driver_tables_batch_free(&next.val);
        if (!appended)
            return false;
    }
}

/* Copies the rows of `reader` into a new output table. */
static bool copy(osiris_driver_tables_borrow_reader_t reader, osiris_driver_tables_borrow_output_t output,
                 processor_string_t *name, osiris_driver_tables_error_t *err)
{
    osiris_driver_tables_schema_t schema;
    osiris_driver_tables_own_table_writer_t writer;
    uint64_t rows;

    osiris_driver_tables_method_reader_schema(reader, &schema);
    bool made = osiris_driver_tables_method_output_create_table(output, name, &schema, &writer, err);
    osiris_driver_tables_schema_free(&schema);
    if (!made)
        return false;

    osiris_driver_tables_borrow_table_writer_t borrowed = osiris_driver_tables_borrow_table_writer(writer);
    bool done = move_rows(reader, borrowed, err) &&
                osiris_driver_tables_method_table_writer_finish(borrowed, &rows, err);
    osiris_driver_tables_table_writer_drop_own(writer);
    return done;
}

static bool pass_through(osiris_driver_tables_borrow_input_t input, osiris_driver_tables_borrow_output_t output,
                         bool first, osiris_driver_tables_error_t *err)
{
    osiris_driver_tables_own_reader_t reader;
    processor_list_string_t all = {NULL, 0};
    processor_string_t name;

    if (!osiris_driver_tables_method_input_read(input, &all, OSIRIS_DRIVER_TABLES_TYPES_EXACT, &reader, err))
        return false;
    if (first)
        processor_string_dup(&name, "main");
    else
        osiris_driver_tables_method_input_alias(input, &name);
    bool done = copy(osiris_driver_tables_borrow_reader(reader), output, &name, err);
    processor_string_free(&name);
    osiris_driver_tables_reader_drop_own(reader);
    return done;
}

bool exports_osiris_driver_transform_run(exports_osiris_driver_transform_list_own_input_t *inputs,
                                         exports_osiris_driver_transform_own_output_t output,
                                         osiris_driver_tables_error_t *err)
{
    bool done = true;
    for (size_t place = 0; place < inputs->len; place++) {
        if (done)
            done = pass_through(osiris_driver_tables_borrow_input(inputs->ptr[place]),
                                osiris_driver_tables_borrow_output(output), place == 0, err);
        osiris_driver_tables_input_drop_own(inputs->ptr[place]);
    }
    if (inputs->len > 0)
        free(inputs->ptr);
    osiris_driver_tables_output_drop_own(output);
    return done;
}
