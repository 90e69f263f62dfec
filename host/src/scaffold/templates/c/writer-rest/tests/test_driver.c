/* Unit tests: `make test`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <test/osiris_test.h>

static int status, received;

static int respond(const char *method, const char *url, const char *headers, const char *body,
                   const char **response_headers, const char **response_body)
{
    assert(strcmp(method, "POST") == 0 && strcmp(url, "https://api.example.com/orders") == 0);
    assert(strstr(headers, "content-type: application/json") && strstr(body, "\"product\""));
    *response_headers = "";
    *response_body = "";
    received++;
    return status;
}

/* Makes the input: two rows. */
static bool orders(os_json *config, os_output *out)
{
    (void)config;
    os_table *table = os_create(out, "orders", "product VARCHAR");
    for (int row = 0; row < 2; row++) {
        os_text(table, "product", "tea");
        os_row(table);
    }
    return os_finish(table);
}

static const os_error *send_rows(int answer)
{
    status = answer;
    received = 0;
    os_test_reset();
    assert(!os_test_extract(orders));
    os_test_reset();
    os_test_config("{\"connection\": {\"url\": \"https://api.example.com\"}}");
    os_test_http(respond);
    os_test_input("orders");
    return os_test_load(load);
}

int main(void)
{
    assert(!send_rows(201) && received == 2);
    assert(send_rows(422)->kind == OS_CONFIG && received == 1);
    return 0;
}
