/* Copies the columns `name`, `qty` and `amount` of its input value by value. Its spec says which bug it has. */
#include <osiris.h>
#include <string.h>

static bool bug_is(os_json *config, const char *bug) { return strcmp(os_str(os_get(config, "bug")), bug) == 0; }

static void copy_text(os_json *config, os_batch *b)
{
    os_column *from = os_column_of(b, "name"), *to = os_add(b, "name", "VARCHAR");
    for (size_t i = 0; i < os_rows(b) && !os_failed(); i++) {
        os_slice text = os_slice_at(from, i);
        if (bug_is(config, "cuts-text") && text.length > 255)
            text.length = 255;
        os_valid(from, i) ? os_put_text(to, text.data, text.length) : os_put_null(to);
    }
}

static void copy_integers(os_json *config, os_batch *b)
{
    os_column *from = os_column_of(b, "qty");
    const int64_t *values = os_i64(from);
    os_column *to = os_add(b, "qty", "BIGINT");
    for (size_t i = 0; i < os_rows(b) && !os_failed(); i++) {
        if (os_valid(from, i))
            os_put_i64(to, values[i]);
        else
            bug_is(config, "nulls-to-zero") ? os_put_i64(to, 0) : os_put_null(to);
    }
}

static void copy_decimals(os_json *config, os_batch *b)
{
    int scale;
    os_column *from = os_column_of(b, "amount");
    const __int128 *values = os_decimals(from, &scale);
    os_column *to = os_add(b, "amount", "DECIMAL(38,4)");
    for (size_t i = 0; i < os_rows(b) && !os_failed(); i++) {
        __int128 value = values[i];
        if (bug_is(config, "decimals-as-floats"))
            value = (__int128)(double)value;
        os_valid(from, i) ? os_put_decimal(to, value) : os_put_null(to);
    }
}

static bool transform(os_json *config, os_inputs *in, os_output *out)
{
    os_reader *reader = os_read(in, 0, "name, qty, amount");
    for (os_batch *b; (b = os_next_batch(reader)); os_append(out, "main", b)) {
        if (bug_is(config, "traps-on-no-rows") && os_rows(b) == 0)
            __builtin_trap();
        copy_text(config, b);
        copy_integers(config, b);
        copy_decimals(config, b);
    }
    os_close(reader);
    if (bug_is(config, "swallows-errors") && os_failed())
        os_recover();
    return !os_failed();
}
OSIRIS_PROCESSOR(transform)
