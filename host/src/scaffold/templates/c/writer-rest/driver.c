/* Sends each row to an HTTP API. */
#include <osiris.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool load(os_json *config, os_inputs *in)
{
    const char *url = os_str(os_require(os_require(config, "connection"), "url"));
    char *address = malloc(strlen(url) + sizeof "/orders");
    sprintf(address, "%s/orders", url);
    os_http options = {.bearer = os_secret("/connection/token"), .headers = "content-type: application/json"};
    os_reader *reader = os_read_json(in, 0, NULL);
    size_t length;
    uint64_t sent = 0;
    for (const char *rows; (rows = os_next_records(reader, &length));)
        for (const char *end; *rows && (end = strchr(rows, '\n')); rows = end + 1) {
            options.body = rows;
            options.body_length = (size_t)(end - rows);
            os_free_response(os_request(&options, "POST", address));
            os_progress(++sent, os_input_rows(in, 0));
        }
    os_close(reader);
    free(address);
    return !os_failed();
}
OSIRIS_WRITER(load)
