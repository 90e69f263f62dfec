/* A processor that works on columns: those that it does not touch are passed on as they came. */
#include <ctype.h>
#include <osiris.h>
#include <stdlib.h>

static bool transform(os_json *config, os_inputs *in, os_output *out)
{
    (void)config;
    os_reader *reader = os_read(in, 0, NULL);
    for (os_batch *b; (b = os_next_batch(reader)); os_append(out, "main", b)) {
        os_column *qty = os_column_of(b, "qty"), *name = os_column_of(b, "name"), *tags = os_column_of(b, "tags");
        const int64_t *q = os_i64(qty);
        os_column *doubled = os_add(b, "qty", "BIGINT"), *upper = os_add(b, "upper", "VARCHAR");
        os_column *count = os_add(b, "tag_count", "BIGINT");
        for (size_t i = 0, start, end; i < os_rows(b) && !os_failed(); i++) {
            os_valid(qty, i) ? os_put_i64(doubled, 2 * q[i]) : os_put_null(doubled);
            os_list_at(tags, i, &start, &end) ? os_put_i64(count, (int64_t)(end - start)) : os_put_null(count);
            os_slice s = os_slice_at(name, i);
            char *copy = malloc(s.length + 1);
            for (size_t k = 0; k < s.length; k++)
                copy[k] = (char)toupper((unsigned char)s.data[k]); /* ASCII only */
            os_valid(name, i) ? os_put_text(upper, copy, s.length) : os_put_null(upper);
            free(copy);
        }
    }
    os_close(reader);
    return !os_failed();
}
OSIRIS_PROCESSOR(transform)
