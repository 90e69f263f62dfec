/* Unit tests: `make test`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <test/osiris_test.h>

static const char *second;

/* Makes the input: two rows. */
static bool orders(os_json *config, os_output *out)
{
    (void)config;
    os_batch *batch = os_new_batch(2);
    os_column *product = os_add(batch, "product", "VARCHAR");
    os_put_text(product, "tea", 3);
    second ? os_put_text(product, second, strlen(second)) : os_put_null(product);
    return os_append(out, "orders", batch);
}

static const os_error *write_rows(const char *text)
{
    second = text;
    os_test_reset();
    assert(!os_test_extract(orders));
    os_test_reset();
    os_test_config("{\"path\": \"a.txt\", \"column\": \"product\"}");
    os_test_input("orders");
    return os_test_load(load);
}

int main(void)
{
    assert(!write_rows("žito"));
    assert(strcmp(os_test_written("a.txt"), "tea\nžito\n") == 0);
    const char *wrong[] = {NULL, "a\nb"};
    for (int i = 0; i < 2; i++) {
        const os_error *error = write_rows(wrong[i]);
        assert(error->kind == OS_DATA && strncmp(error->message, "row 2 ", 6) == 0);
    }
    return 0;
}
