#include "address.h"

#include <string.h>
#include <strings.h>

size_t wf_host_len(const char *address)
{
    size_t n = address[0] == '[' ? strcspn(address, "]") : 0;

    return n + strcspn(address + n, ":/?#@, \t\r\n");
}

bool wf_is_loopback(const char *host, size_t n)
{
    return (n == 9 && strncasecmp(host, "localhost", n) == 0) ||
           (n == 5 && memcmp(host, "[::1]", n) == 0) ||
           (n > 4 && memcmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == n);
}
