/* Unit tests: `make test`. */
#undef NDEBUG
#include "../driver.c"
#include <assert.h>
#include <test/osiris_test.h>

int main(void)
{
    char *name = quoted("a \"b\"");
    assert(strcmp(name, "\"a \"\"b\"\"\"") == 0);
    free(name);
    return 0;
}
