/* A driver for the tests: passes its input through native values, computes with columns, or fails, as its config says. */
#include <ctype.h>
#include <osiris.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(os_json *config, const char *mode) { return strcmp(os_str(os_get(config, "mode")), mode) == 0; }

/* Builds each column of the input again from its values. */
static void rebuild(os_batch *b)
{
    static const struct {
        const char *name, *type;
    } columns[] = {
        {"i8", "TINYINT"}, {"i64", "BIGINT"}, {"f32", "FLOAT"}, {"f64", "DOUBLE"}, {"bool", "BOOLEAN"}, {"text", "VARCHAR"},
        {"raw", "BLOB"}, {"json", "JSON"}, {"uuid", "UUID"}, {"date", "DATE"}, {"time", "TIME"}, {"at", "TIMESTAMPTZ"},
        {"wall", "TIMESTAMP"}, {"dec", "DECIMAL(38,4)"}, {"list", "VARCHAR[]"}, {"deep", "BIGINT[][]"},
        {"part", "STRUCT(a INTEGER, b VARCHAR)"},
    };
    for (size_t n = 0; n < sizeof columns / sizeof *columns; n++) {
        os_column *from = os_column_of(b, columns[n].name), *to = os_add(b, columns[n].name, columns[n].type);
        const int64_t *i = n < 2 ? os_i64(from) : n >= 10 && n <= 12 ? os_micros(from) : NULL;
        const double *f = n == 2 || n == 3 ? os_f64(from) : NULL;
        const uint8_t *o = n == 4 ? os_bools(from) : n == 8 ? os_uuids(from) : NULL;
        const int32_t *day = n == 9 ? os_days(from) : NULL;
        int scale;
        const __int128 *d = n == 13 ? os_decimals(from, &scale) : NULL;
        os_column *item = os_child(from, 0), *item_to = os_child(to, 0);
        const int64_t *deep = n == 15 ? os_i64(os_child(item, 0)) : NULL, *part = n == 16 ? os_i64(item) : NULL;
        for (size_t r = 0, start, end, from_k, to_k; r < os_rows(b) && !os_failed(); r++) {
            if (!os_valid(from, r)) {
                os_put_null(to);
                continue;
            }
            if (i)
                os_put_i64(to, i[r]);
            else if (f)
                os_put_f64(to, f[r]);
            else if (n == 4)
                os_put_bool(to, o[r]);
            else if (n == 8)
                os_put_uuid(to, o + 16 * r);
            else if (day)
                os_put_i64(to, day[r]);
            else if (d)
                os_put_decimal(to, d[r]);
            else if (n == 14 || n == 15) {
                os_list_at(from, r, &start, &end);
                for (size_t k = start; k < end; k++) {
                    if (!os_valid(item, k))
                        os_put_null(item_to);
                    else if (n == 14)
                        os_put_text(item_to, os_slice_at(item, k).data, os_slice_at(item, k).length);
                    else {
                        os_list_at(item, k, &from_k, &to_k);
                        for (size_t m = from_k; m < to_k; m++)
                            os_put_i64(os_child(item_to, 0), deep[m]);
                        os_put_list(item_to);
                    }
                }
                os_put_list(to);
            } else if (n == 16) {
                os_column *second = os_child(from, 1);
                os_put_i64(item_to, part[r]);
                if (os_valid(second, r))
                    os_put_text(os_child(to, 1), os_slice_at(second, r).data, os_slice_at(second, r).length);
                else
                    os_put_null(os_child(to, 1));
                os_put_struct(to);
            } else
                os_put_text(to, os_slice_at(from, r).data, os_slice_at(from, r).length);
        }
    }
}

/* Adds c = a + b + length of s. */
static void compute(os_batch *b)
{
    const int64_t *x = os_i64(os_column_of(b, "a")), *y = os_i64(os_column_of(b, "b"));
    os_column *s = os_column_of(b, "s"), *sum = os_add(b, "c", "BIGINT");
    for (size_t r = 0; r < os_rows(b); r++)
        os_put_i64(sum, x[r] + y[r] + (int64_t)os_slice_at(s, r).length);
}

/* Adds t = s in capitals. */
static void texts(os_batch *b)
{
    char copy[256];
    os_column *s = os_column_of(b, "s"), *t = os_add(b, "t", "VARCHAR");
    for (size_t r = 0; r < os_rows(b); r++) {
        os_slice from = os_slice_at(s, r);
        for (size_t k = 0; k < from.length; k++)
            copy[k] = (char)toupper((unsigned char)from.data[k]);
        os_put_text(t, copy, from.length);
    }
}

static bool records(os_inputs *in, os_output *out)
{
    size_t length;
    os_table *t = os_create(out, "main", NULL);
    os_reader *reader = os_read_json(in, 0, NULL);
    for (const char *lines; (lines = os_next_records(reader, &length));)
        os_rows_text(t, lines, length);
    os_close(reader);
    return os_finish(t);
}

static bool transform(os_json *config, os_inputs *in, os_output *out)
{
    if (is(config, "records"))
        return records(in, out);
    if (is(config, "utf8")) {
        os_log(OS_INFO, "wrong \xff");
        return os_fail(OS_INTERNAL, "wrong \xff");
    }
    if (is(config, "fail"))
        return os_fail_code(OS_RATE_LIMITED, "E42", 1500, "outside: %s", "inside");
    if (is(config, "sql")) {
        char select[256];
        snprintf(select, sizeof select, "select count(*) as n from %s", os_sql_name(in, 0));
        return os_create_sql(out, "main", select, NULL);
    }
    os_reader *reader = os_read(in, 0, NULL);
    for (os_batch *b; (b = os_next_batch(reader)); os_append(out, "main", b)) {
        if (is(config, "rows"))
            rebuild(b);
        else if (is(config, "compute"))
            compute(b);
        else if (is(config, "texts"))
            texts(b);
    }
    os_close(reader);
    return !os_failed();
}
OSIRIS_PROCESSOR(transform)

static const char *check(os_json *config)
{
    return is(os_get(config, "connection"), "rows") ? "tests of rows" : "tests";
}
OSIRIS_CHECK(check)

static bool discover(os_json *config, os_catalog *catalog)
{
    (void)config;
    os_catalog_table(catalog, "s", "t");
    os_catalog_column(catalog, "a", "int8", "BIGINT", false);
    os_catalog_column(catalog, "b", "text", "VARCHAR", true);
    os_catalog_key(catalog, "a");
    os_catalog_key(catalog, "b");
    os_catalog_rows(catalog, (uint64_t)1 << 40);
    os_catalog_table(catalog, NULL, "u");
    return true;
}
OSIRIS_DISCOVER(discover)
