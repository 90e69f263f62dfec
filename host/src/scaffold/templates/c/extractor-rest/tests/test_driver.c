/* Unit tests: `make test`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <string.h>
#include <test/osiris_test.h>

static int respond(const char *method, const char *url, const char *headers, const char *body,
                   const char **response_headers, const char **response_body)
{
    (void)body;
    *response_headers = "content-type: application/json\n";
    assert(strcmp(method, "GET") == 0);
    if (!strstr(headers, "Bearer hunter2"))
        return 401;
    *response_body = strstr(url, "page=2") ? "{\"items\": [{\"id\": 3}], \"next\": null}"
                                           : "{\"items\": [{\"id\": 1}, {\"id\": 2}], \"next\": 2}";
    return 200;
}

static const os_error *run(const char *token)
{
    os_test_reset();
    os_test_config("{\"connection\": {\"url\": \"https://api.example.com\"}, \"page_size\": 2}");
    if (token)
        os_test_secret("/connection/token", token);
    os_test_http(respond);
    return os_test_extract(extract);
}

int main(void)
{
    assert(!run("hunter2"));
    assert(strcmp(os_test_records("main"), "{\"id\": 1}\n{\"id\": 2}\n{\"id\": 3}\n") == 0 ||
           strcmp(os_test_records("main"), "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n") == 0);
    assert(run(NULL)->kind == OS_AUTH);
    return 0;
}
