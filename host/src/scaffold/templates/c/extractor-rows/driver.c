/* Greets each name in the config. */
#include <osiris.h>

static bool extract(os_json *config, os_output *out)
{
    os_json *names = os_require(config, "names");
    os_log(OS_INFO, "greeting %zu names", os_count(names));
    os_table *table = os_create(out, "main", "id BIGINT, greeting VARCHAR");
    int64_t id = 0;
    for (os_json *name = os_first(names); name; name = os_next(name)) {
        os_int(table, "id", ++id);
        os_text_f(table, "greeting", "hello %s", os_str(name));
        os_row(table);
    }
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
