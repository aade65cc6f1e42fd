/* Hosts in addresses that people write: "host:port", "[::1]:9092", what follows "http://". */
#ifndef WF_ADDRESS_H
#define WF_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the host at the beginning of "host:port/...", brackets included. */
size_t wf_host_len(const char *address);

/* Whether the first @n bytes of @host, a host without its port, are this machine: by name or by an
 * address of its loopback interface, not by what a name server says. */
bool wf_is_loopback(const char *host, size_t n);

#endif
