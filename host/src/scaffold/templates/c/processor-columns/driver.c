/* Adds totals and labels; other columns pass through unchanged. */
#include <ctype.h>
#include <osiris.h>
#include <stdlib.h>

static void put_upper(os_column *column, os_slice text)
{
    char *upper = malloc(text.length + 1);
    for (size_t i = 0; i < text.length; i++)
        upper[i] = (char)toupper((unsigned char)text.data[i]); /* ASCII only */
    os_put_text(column, upper, text.length);
    free(upper);
}

static bool transform(os_json *config, os_inputs *in, os_output *out)
{
    (void)config;
    os_reader *reader = os_read(in, 0, NULL);
    for (os_batch *batch; (batch = os_next_batch(reader)); os_append(out, "main", batch)) {
        os_column *quantity = os_column_of(batch, "quantity"), *cents = os_column_of(batch, "cents");
        os_column *product = os_column_of(batch, "product");
        const int64_t *quantities = os_i64(quantity), *prices = os_i64(cents);
        os_column *total = os_add(batch, "total_cents", "BIGINT"), *label = os_add(batch, "label", "VARCHAR");
        for (size_t row = 0; row < os_rows(batch) && !os_failed(); row++) {
            int64_t product_of_both;
            if (!os_valid(quantity, row) || !os_valid(cents, row))
                os_put_null(total);
            else if (__builtin_mul_overflow(quantities[row], prices[row], &product_of_both))
                os_fail(OS_DATA, "%lld × %lld is beyond BIGINT", (long long)quantities[row], (long long)prices[row]);
            else
                os_put_i64(total, product_of_both);
            os_valid(product, row) ? put_upper(label, os_slice_at(product, row)) : os_put_null(label);
        }
    }
    os_close(reader);
    return !os_failed();
}
OSIRIS_PROCESSOR(transform)
