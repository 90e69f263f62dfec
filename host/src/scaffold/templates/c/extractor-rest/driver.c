/* Reads all orders of an HTTP API, page by page. */
#include <osiris.h>

static bool extract(os_json *config, os_output *out)
{
    os_table *table = os_create(out, "main", "id BIGINT, customer VARCHAR, amount DECIMAL(18,2), created_at TIMESTAMPTZ");
    os_http options = {.bearer = os_secret("/connection/token")};
    const char *url = os_str(os_require(os_require(config, "connection"), "url"));
    long long size = os_int_or(os_get(config, "page_size"), 100), page = 1, pages = 0;
    while (page && !os_failed()) {
        os_json *answer = page == 1 ? os_get_json(&options, "%s/orders?size=%lld", url, size)
                                    : os_get_json(&options, "%s/orders?size=%lld&page=%lld", url, size, page);
        os_rows_json(table, os_get(answer, "items"));
        page = os_int_or(os_get(answer, "next"), 0);
        os_free(answer);
        os_progress((uint64_t)++pages, 0);
    }
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
