/* Reads all pages of a REST API. Its spec says which bug it has. */
#include <osiris.h>
#include <stdio.h>
#include <string.h>

static bool bug_is(os_json *config, const char *bug) { return strcmp(os_str(os_get(config, "bug")), bug) == 0; }

static bool extract(os_json *config, os_output *out)
{
    os_table *table = os_create(out, "main", "id BIGINT, name VARCHAR");
    const char *token = os_secret("/token");
    os_http options = {.bearer = token, .base_ms = 1};
    os_json *size = os_get(config, "size");
    if (bug_is(config, "needs-an-undeclared-option") && !size)
        return os_fail(OS_INTERNAL, "null pointer");
    const char *url = os_str(os_require(config, "url"));
    for (int64_t page = 1; page && !os_failed();) {
        os_json *answer = os_get_json(&options, "%s?page=%lld&size=%lld", url, (long long)page, (long long)os_int_or(size, 2));
        for (os_json *item = os_first(os_get(answer, "items")); item; item = os_next(item)) {
            os_text(table, "id", os_str(os_get(item, "id")));
            os_text(table, "name", os_str(os_get(item, "name")));
            if (bug_is(config, "token-in-table"))
                os_text(table, "source", token);
            os_row(table);
        }
        page = os_int_or(os_get(answer, "next"), 0);
        os_free(answer);
    }
    if (bug_is(config, "wrong-kind") && os_failed()) {
        os_recover();
        return os_fail(OS_CONFIG, "the API cannot be read");
    }
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
