/* Counts the rows of the input by a column, inside DuckDB. */
#include <osiris.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A new text: the name as a quoted identifier. */
static char *quoted(const char *name)
{
    char *text = malloc(2 * strlen(name) + 3), *at = text;
    *at++ = '"';
    for (; *name; name++) {
        if (*name == '"')
            *at++ = '"';
        *at++ = *name;
    }
    *at++ = '"';
    *at = 0;
    return text;
}

static bool transform(os_json *config, os_inputs *in, os_output *out)
{
    static const char form[] = "select %s, count(*) as rows from %s group by all order by all";
    char *by = quoted(os_str(os_require(config, "by")));
    const char *source = os_sql_name(in, 0);
    if (source) {
        size_t length = sizeof form + strlen(by) + strlen(source);
        char *select = malloc(length);
        snprintf(select, length, form, by, source);
        os_create_sql(out, "main", select, NULL);
        free(select);
    }
    free(by);
    return !os_failed();
}
OSIRIS_PROCESSOR(transform)
