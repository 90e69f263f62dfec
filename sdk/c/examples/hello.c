/* The smallest driver: an extractor that makes a table of greetings. */
#include <osiris.h>

static bool extract(os_json *config, os_output *out)
{
    os_table *table = os_create(out, "main", "greeting VARCHAR");
    for (os_json *name = os_first(os_get(config, "names")); name; name = os_next(name)) {
        os_text_f(table, "greeting", "hello %s", os_str(name));
        os_row(table);
    }
    return os_finish(table);
}
OSIRIS_EXTRACTOR(extract)
