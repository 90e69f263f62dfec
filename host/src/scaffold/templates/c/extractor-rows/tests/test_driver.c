/* Unit tests: `make test`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <string.h>
#include <test/osiris_test.h>

int main(void)
{
    os_test_reset();
    os_test_config("{\"names\": [\"Ada\", \"Žofie\"]}");
    assert(!os_test_extract(extract));
    assert(strcmp(os_test_records("main"), "{\"id\":1,\"greeting\":\"hello Ada\"}\n{\"id\":2,\"greeting\":\"hello Žofie\"}\n") == 0);

    os_test_reset();
    os_test_config("{\"names\": []}");
    assert(!os_test_extract(extract) && os_test_finished("main"));
    return 0;
}
