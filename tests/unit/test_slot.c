/* When slot, checkpoint and server fit each other: the table of docs/high-availability.md. */
#include <criterion/criterion.h>
#include <string.h>

#include "failover.h"
#include "slot.h"

#define SYSTEM UINT64_C(7000000000000000001)

static const struct wf_source_conf conf = {.slot = "shop"};
static struct wf_err err;

/* A checkpoint at 0x500 of timeline 1, and a server that fits it. */
struct scene {
    struct wf_accept accept;
    struct wf_server server;
    struct wf_slot_info slot;
    struct wf_checkpoint cp;
};

static struct scene scene(void)
{
    return (struct scene){
        .server = {.version = 180000, .system_id = SYSTEM, .timeline = 1, .instance = 7},
        .slot = {.exists = true, .confirmed_lsn = 0x400, .wal_lsn = 0x900},
        .cp = {.state = WF_CHECKPOINT_ACTIVE,
               .system_id = SYSTEM,
               .timeline = 1,
               .instance = 6,
               .lsn = 0x500,
               .slot = "shop"},
    };
}

static void promote(struct scene *s, uint64_t fork)
{
    s->server.timeline = 2;
    s->server.forks[0] = (struct wf_fork){1, fork};
    s->server.nforks = 1;
}

static enum wf_rc compare(struct scene *s)
{
    memset(&err, 0, sizeof(err));
    return wf_slot_compare(&conf, &s->accept, &s->server, &s->slot, &s->cp, &err);
}

static void expect_refusal(struct scene *s, const char *code, const char *words)
{
    cr_expect_eq(compare(s), WF_FATAL);
    cr_expect_eq(err.exit_code, WF_EXIT_REFUSED);
    cr_expect_str_eq(err.code, code);
    cr_expect(strstr(err.text, words), "%s is not in: %s", words, err.text);
    cr_expect(strstr(err.text, "; hint: "), "%s", err.text);
}

Test(slot_compare, goes_on_where_everything_fits)
{
    struct scene s = scene();

    cr_expect_eq(compare(&s), WF_OK, "%s", err.text);
    cr_expect_eq(s.cp.lsn, 0x500);
    cr_expect_eq(s.cp.instance, 7, "the process that is read from now on");
    s.slot.confirmed_lsn = 0x500;
    cr_expect_eq(compare(&s), WF_OK);
}

Test(slot_compare, follows_a_promotion_up_to_the_fork_and_not_past_it)
{
    struct scene s = scene();

    promote(&s, 0x500);
    cr_expect_eq(compare(&s), WF_OK, "%s", err.text);
    cr_expect_eq(s.cp.timeline, 2);
    cr_expect_eq(s.cp.lsn, 0x500);
    s = scene();
    promote(&s, 0x4ff);
    expect_refusal(&s, "other_timeline", "past the fork at 0/4FF");
    cr_expect_eq(s.cp.timeline, 1, "nothing was taken over");
}

Test(slot_compare, takes_the_fork_when_the_divergence_is_accepted)
{
    struct scene s = scene();

    promote(&s, 0x480);
    s.accept.timeline = 2;
    cr_expect_eq(compare(&s), WF_OK, "%s", err.text);
    cr_expect_eq(s.cp.lsn, 0x480);
    s = scene();
    promote(&s, 0x480);
    s.accept.timeline = 3;
    expect_refusal(&s, "other_timeline", "--accept-divergence 2");
}

/* What it sent past the fork is its own history; after its restart nobody can tell any more. */
Test(slot_compare, follows_the_very_process_it_was_reading)
{
    struct scene s = scene();

    promote(&s, 0x480);
    s.cp.instance = s.server.instance;
    cr_expect_eq(compare(&s), WF_OK, "%s", err.text);
    cr_expect_eq(s.cp.lsn, 0x500);
    cr_expect_eq(s.cp.timeline, 2);
    s = scene();
    promote(&s, 0x480);
    s.cp.instance = 0; /* of an older version */
    expect_refusal(&s, "other_timeline", "past the fork");
}

Test(slot_compare, refuses_a_timeline_that_does_not_come_from_the_checkpoints)
{
    struct scene s = scene();

    s.cp.timeline = 2; /* the old primary came back */
    expect_refusal(&s, "other_timeline", "does not come from timeline 2");
}

Test(slot_compare, says_that_a_promotion_left_the_slot_behind)
{
    struct scene s = scene();

    s.slot.exists = false;
    expect_refusal(&s, "slot_missing", "is gone: the checkpoint stands at 0/500");
    promote(&s, 0x600);
    expect_refusal(&s, "slot_missing", "promoted (timeline 2)");
}

Test(slot_compare, refuses_gaps_but_the_one_that_is_accepted)
{
    struct scene s = scene();

    s.slot.confirmed_lsn = 0x501;
    expect_refusal(&s, "slot_gap", "--accept-gap 0/501");
    s.accept.gap_lsn = 0x502;
    expect_refusal(&s, "slot_gap", "1 bytes");
    s.accept.gap_lsn = 0x501;
    cr_expect_eq(compare(&s), WF_OK, "%s", err.text);
    cr_expect_eq(s.cp.lsn, 0x501);
}

Test(slot_compare, waits_for_a_standby_and_refuses_a_primary_that_is_behind)
{
    struct scene s = scene();

    s.slot.wal_lsn = 0x4ff;
    expect_refusal(&s, "server_behind", "0/4FF");
    s.server.in_recovery = true;
    cr_expect_eq(compare(&s), WF_RETRY);
    cr_expect_str_eq(err.code, "standby_behind");
}

Test(slot_compare, refuses_another_system_first)
{
    struct scene s = scene();

    s.slot.exists = false;
    s.server.system_id++;
    expect_refusal(&s, "other_system", "7000000000000000002");
}

Test(failover, is_wanted_where_the_server_can)
{
    static const struct {
        int mode, version;
        bool in_recovery, wanted;
        enum wf_rc check;
    } rows[] = {
        {WF_FAILOVER_AUTO, 160000, false, false, WF_OK},
        {WF_FAILOVER_AUTO, 170000, false, true, WF_OK},
        {WF_FAILOVER_AUTO, 170000, true, false, WF_OK},
        {WF_FAILOVER_OFF, 180000, false, false, WF_OK},
        {WF_FAILOVER_ON, 169999, false, false, WF_FATAL},
        {WF_FAILOVER_ON, 170000, false, true, WF_OK},
        {WF_FAILOVER_ON, 180000, true, false, WF_FATAL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wf_source_conf c = {.failover = rows[i].mode};
        struct wf_server server = {.version = rows[i].version, .in_recovery = rows[i].in_recovery};

        cr_expect_eq(wf_failover_wanted(&c, &server), rows[i].wanted, "row %zu", i);
        cr_expect_eq(wf_failover_check(&c, &server, &err), rows[i].check, "row %zu", i);
    }
}
