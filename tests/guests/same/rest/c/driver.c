/* Reads all pages of a REST API. */
#include <osiris.h>

static bool extract(os_json *config, os_output *out)
{
    os_table *table = os_create(out, "main", "amount DECIMAL(18,2), created_at TIMESTAMPTZ");
    os_http options = {.bearer = os_secret("/token")};
    const char *url = os_str(os_require(config, "url"));
    for (int64_t page = 1; page && !os_failed();) {
        os_json *answer = os_get_json(&options, "%s?page=%lld", url, (long long)page);
        os_rows_json(table, os_get(answer, "items"));
        page = os_int_or(os_get(answer, "next"), 0);
        os_free(answer);
    }
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
