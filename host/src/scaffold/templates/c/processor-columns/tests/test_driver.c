/* Unit tests: `make test`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <string.h>
#include <test/osiris_test.h>

static int64_t price;

/* Makes the input: a table with a row of values and a row of nulls. */
static bool orders(os_json *config, os_output *out)
{
    (void)config;
    os_batch *batch = os_new_batch(2);
    os_column *product = os_add(batch, "product", "VARCHAR"), *quantity = os_add(batch, "quantity", "BIGINT");
    os_column *cents = os_add(batch, "cents", "BIGINT");
    os_put_text(product, "tea", 3);
    os_put_i64(quantity, 2);
    os_put_i64(cents, price);
    os_put_null(product);
    os_put_i64(quantity, 1);
    os_put_null(cents);
    return os_append(out, "orders", batch);
}

/* Reads the result, and checks it. */
static bool check(os_json *config, os_inputs *in)
{
    (void)config;
    os_reader *reader = os_read(in, 0, NULL);
    os_batch *batch = os_next_batch(reader);
    os_column *total = os_column_of(batch, "total_cents"), *label = os_column_of(batch, "label");
    assert(os_rows(batch) == 2 && os_i64(total)[0] == 900 && !os_valid(total, 1));
    assert(memcmp(os_slice_at(label, 0).data, "TEA", 3) == 0 && !os_valid(label, 1));
    os_close(reader);
    return !os_failed();
}

static const os_error *run(int64_t cents)
{
    price = cents;
    os_test_reset();
    assert(!os_test_extract(orders));
    os_test_reset();
    os_test_input("orders");
    return os_test_transform(transform);
}

int main(void)
{
    assert(!run(450));
    os_test_reset();
    os_test_input("main");
    assert(!os_test_load(check));
    const os_error *error = run(INT64_MAX);
    assert(error->kind == OS_DATA && strstr(error->message, "beyond BIGINT"));
    return 0;
}
