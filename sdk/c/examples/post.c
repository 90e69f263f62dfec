/* A writer that posts each row to an API as a JSON object. */
#include <osiris.h>
#include <string.h>

static bool load(os_json *config, os_inputs *in)
{
    const char *url = os_str(os_require(config, "url"));
    os_reader *reader = os_read_json(in, 0, NULL);
    size_t length;
    for (const char *lines; (lines = os_next_records(reader, &length));)
        for (const char *end; *lines && (end = strchr(lines, '\n')); lines = end + 1) {
            os_http options = {.headers = "content-type: application/json", .body = lines, .body_length = (size_t)(end - lines)};
            os_free_response(os_request(&options, "POST", url));
        }
    os_close(reader);
    return !os_failed();
}
OSIRIS_WRITER(load)
