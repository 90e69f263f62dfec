/* Writes a column of texts to a file, a line for each row. */
#include <osiris.h>
#include <string.h>

static bool load(os_json *config, os_inputs *in)
{
    const char *name = os_str(os_require(config, "column"));
    os_file *target = os_create_file(os_str(os_require(config, "path")));
    os_reader *reader = os_read(in, 0, NULL);
    unsigned long long number = 0;
    for (os_batch *batch; (batch = os_next_batch(reader));) {
        os_column *column = os_column_of(batch, name);
        for (size_t row = 0; row < os_rows(batch) && !os_failed(); row++) {
            number++;
            os_slice text = os_slice_at(column, row);
            if (!os_valid(column, row))
                os_fail(OS_DATA, "row %llu has null in column `%s`", number, name);
            else if (text.length && memchr(text.data, '\n', text.length))
                os_fail(OS_DATA, "row %llu has a text with a line break in column `%s`", number, name);
            os_write_file(target, text.data, text.length);
            os_write_file(target, "\n", 1);
        }
    }
    os_close(reader);
    os_close_file(target);
    return !os_failed();
}
OSIRIS_WRITER(load)
