/* Adds c = a + b + the length of s. */
#include <osiris.h>
#include <string.h>

static bool columns(os_inputs *in, os_output *out)
{
    os_reader *reader = os_read(in, 0, NULL);
    for (os_batch *b; (b = os_next_batch(reader)); os_append(out, "main", b)) {
        const int64_t *x = os_i64(os_column_of(b, "a")), *y = os_i64(os_column_of(b, "b"));
        os_column *s = os_column_of(b, "s"), *sum = os_add(b, "c", "BIGINT");
        for (size_t i = 0; i < os_rows(b); i++)
            os_put_i64(sum, x[i] + y[i] + (int64_t)os_slice_at(s, i).length);
    }
    os_close(reader);
    return !os_failed();
}

static bool records(os_inputs *in, os_output *out)
{
    size_t length;
    os_table *table = os_create(out, "main", NULL);
    os_reader *reader = os_read_json(in, 0, NULL);
    for (const char *lines; (lines = os_next_records(reader, &length));)
        for (const char *end; length && (end = memchr(lines, '\n', length)); length -= (size_t)(end + 1 - lines), lines = end + 1) {
            os_json *row = os_parse(lines, (size_t)(end - lines), OS_DATA);
            int64_t a = os_int_or(os_get(row, "a"), 0), b = os_int_or(os_get(row, "b"), 0);
            const char *s = os_str(os_get(row, "s"));
            os_int(table, "a", a);
            os_int(table, "b", b);
            os_text(table, "s", s);
            os_int(table, "c", a + b + (int64_t)strlen(s));
            os_row(table);
            os_free(row);
        }
    os_close(reader);
    return os_finish(table);
}

static bool transform(os_json *config, os_inputs *in, os_output *out)
{
    return strcmp(os_str(os_get(config, "mode")), "columns") == 0 ? columns(in, out) : records(in, out);
}
OSIRIS_PROCESSOR(transform)
