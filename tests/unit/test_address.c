#include <criterion/criterion.h>
#include <string.h>

#include "address.h"

static bool local(const char *address)
{
    return wf_is_loopback(address, wf_host_len(address));
}

Test(address, this_machine_has_three_ways_to_be_named)
{
    cr_expect(local("localhost"));
    cr_expect(local("LocalHost:9092"));
    cr_expect(local("127.0.0.1:9092,kafka.example:9092"));
    cr_expect(local("127.8.9.1/subjects"));
    cr_expect(local("[::1]:8081"));
    cr_expect(local("127.0.0.1,kafka.example"));
}

Test(address, names_that_only_begin_like_it_are_elsewhere)
{
    static const char *const elsewhere[] = {"localhost.evil.example:9092",
                                            "localhosts",
                                            "127.evil.example",
                                            "127.0.0.1.evil.example",
                                            "[::1].evil.example",
                                            "[::1",
                                            "[::12]:9092",
                                            "127.",
                                            "kafka.example",
                                            "",
                                            "10.0.0.1"};

    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++)
        cr_expect_not(local(elsewhere[i]), "%s", elsewhere[i]);
}
