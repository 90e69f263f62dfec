/* Computes columns from the values of others. */
#include <osiris.h>
#include <stdlib.h>
#include <string.h>

/* The names and types of the columns that are added, in order. */
static const char *const added[][2] = {
    {"double_qty", "BIGINT"}, {"shout", "VARCHAR"}, {"owed", "DECIMAL(18,2)"}, {"not_flag", "BOOLEAN"}, {"half", "DOUBLE"},
    {"next_day", "DATE"}, {"same_at", "TIMESTAMPTZ"}, {"same_key", "UUID"}, {"tag_count", "BIGINT"},
    {"loud_tags", "VARCHAR[]"}, {"part_a", "BIGINT"},
};

/* Puts a text and an exclamation mark. */
static void put_loud(os_column *to, os_slice from)
{
    char *text = malloc(from.length + 1);
    memcpy(text, from.data, from.length);
    text[from.length] = '!';
    os_put_text(to, text, from.length + 1);
    free(text);
}

static void numbers(os_batch *b)
{
    int scale;
    os_column *qty = os_column_of(b, "qty"), *price = os_column_of(b, "price"), *flag = os_column_of(b, "flag");
    os_column *ratio = os_column_of(b, "ratio"), *part = os_column_of(b, "part");
    const int64_t *q = os_i64(qty), *a = os_i64(os_member(part, "a"));
    const __int128 *p = os_decimals(price, &scale);
    const uint8_t *f = os_bools(flag);
    const double *r = os_f64(ratio);
    os_column *double_qty = os_column_of(b, "double_qty"), *owed = os_column_of(b, "owed");
    os_column *not_flag = os_column_of(b, "not_flag"), *half = os_column_of(b, "half");
    os_column *part_a = os_column_of(b, "part_a");
    for (size_t i = 0; i < os_rows(b) && !os_failed(); i++) {
        os_valid(qty, i) ? os_put_i64(double_qty, 2 * q[i]) : os_put_null(double_qty);
        os_valid(price, i) ? os_put_decimal(owed, -p[i]) : os_put_null(owed);
        os_valid(flag, i) ? os_put_bool(not_flag, !f[i]) : os_put_null(not_flag);
        os_valid(ratio, i) ? os_put_f64(half, r[i] / 2) : os_put_null(half);
        os_valid(part, i) ? os_put_i64(part_a, a[i]) : os_put_null(part_a);
    }
}

static void others(os_batch *b)
{
    os_column *day = os_column_of(b, "day"), *at = os_column_of(b, "at"), *key = os_column_of(b, "key");
    const int32_t *days = os_days(day);
    const int64_t *micros = os_micros(at);
    const uint8_t *uuids = os_uuids(key);
    os_column *next_day = os_column_of(b, "next_day"), *same_at = os_column_of(b, "same_at");
    os_column *same_key = os_column_of(b, "same_key");
    for (size_t i = 0; i < os_rows(b) && !os_failed(); i++) {
        os_valid(day, i) ? os_put_i64(next_day, days[i] + 1) : os_put_null(next_day);
        os_valid(at, i) ? os_put_i64(same_at, micros[i]) : os_put_null(same_at);
        os_valid(key, i) ? os_put_uuid(same_key, uuids + 16 * i) : os_put_null(same_key);
    }
}

static void texts(os_batch *b)
{
    os_column *name = os_column_of(b, "name"), *tags = os_column_of(b, "tags");
    os_column *shout = os_column_of(b, "shout");
    os_column *count = os_column_of(b, "tag_count"), *loud = os_column_of(b, "loud_tags");
    os_column *tag = os_child(tags, 0), *loud_tag = os_child(loud, 0);
    for (size_t i = 0, start, end; i < os_rows(b) && !os_failed(); i++) {
        if (os_valid(name, i))
            put_loud(shout, os_slice_at(name, i));
        else
            os_put_null(shout);
        if (!os_list_at(tags, i, &start, &end)) {
            os_put_null(count);
            os_put_null(loud);
            continue;
        }
        for (size_t k = start; k < end; k++)
            if (os_valid(tag, k))
                put_loud(loud_tag, os_slice_at(tag, k));
            else
                os_put_null(loud_tag);
        os_put_i64(count, (int64_t)(end - start));
        os_put_list(loud);
    }
}

static bool transform(os_json *config, os_inputs *in, os_output *out)
{
    (void)config;
    os_reader *reader = os_read(in, 0, NULL);
    for (os_batch *b; (b = os_next_batch(reader)); os_append(out, "main", b)) {
        for (size_t n = 0; n < sizeof added / sizeof *added; n++)
            os_add(b, added[n][0], added[n][1]);
        numbers(b);
        others(b);
        texts(b);
    }
    os_close(reader);
    return !os_failed();
}
OSIRIS_PROCESSOR(transform)
