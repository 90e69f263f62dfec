/* Unit tests: `make test`. The host in memory has no TCP: the protocol is tested with a server, by `osiris drivers dev`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <test/osiris_test.h>

int main(void)
{
    char text[64];
    *quote(text, "a \"b\"\\\n\xc5\xbe", 9) = 0;
    assert(strcmp(text, "\"a \\\"b\\\"\\\\\\u000a\xc5\xbe\"") == 0);
    return 0;
}
