/* Unit tests: `make test`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <test/osiris_test.h>

static const os_error *read_text(const char *text)
{
    os_test_reset();
    os_test_config("{\"path\": \"a.log\"}");
    os_test_file("a.log", text);
    return os_test_extract(extract);
}

int main(void)
{
    assert(!read_text("2026-01-31T10:00:00Z WARN disk is full\r\n\n2026-01-31T10:00:01Z INFO žluť"));
    const char *rows = os_test_records("main");
    assert(strstr(rows, "\"message\":\"disk is full\"}\n") && strstr(rows, "\"level\":\"INFO\",\"message\":\"žluť\"}\n"));
    const os_error *error = read_text("2026-01-31T10:00:00Z INFO ready\noops");
    assert(error->kind == OS_DATA && strncmp(error->message, "line 2 ", 7) == 0);
    return 0;
}
