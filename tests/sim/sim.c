/* Runs schedules: one seed makes a WAL, a weather and faults, and decides every order.
 * usage: sim [--seeds A..B] [--mode eos|alo] [--mutant NAME] [--memory] [-v] | --mutants */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lsn.h"
#include "mutant.h"
#include "pipeline.h"
#include "sim.h"

#define HEAL_US 6000000
#define LIMIT_US (HEAL_US + 200000000)
#define STEPS_MAX 400000
#define FAULTS_MAX 5
#define DISK_US 2000
#define TURN_US 20000
#define MUTANT_SEEDS 40000

extern const struct wf_sink_ops wf_sink_kafka;

enum fault_kind { KILL, TERMINATE, POWER, SERVER_CRASH, CUT, SLOW, VANDAL, FAULTS };

static struct {
    enum fault_kind kind;
    uint64_t at_us;
    unsigned who;
} faults[FAULTS_MAX];
static unsigned nfaults;
static bool vandal_waits;

/* ---- a daemon ---- */

static void run_daemon(void *arg)
{
    struct sim_daemon *d = arg;
    const struct wf_pipeline_options options = {0};
    struct wf_pipeline *p = NULL;
    enum wf_rc rc = wf_pipeline_new(&p, &d->config, &options, &d->err);

    if (rc == WF_OK)
        rc = wf_pipeline_run(p, &d->stop, &d->err);
    if (p)
        wf_pipeline_free(p);
    d->exit = rc == WF_OK ? SIM_STOPPED : SIM_FAILED;
}

static bool is_up(const struct sim_daemon *d)
{
    return d->main.active;
}

static void start_daemon(struct sim_daemon *d)
{
    sim_trace("%c starts", d->name);
    d->err = (struct wf_err){.code = "unset"};
    d->start_us = SIM_NEVER;
    d->fail_at = sim.oom && !sim.healed && sim_one_in(2) ? 1 + sim_below(120) : 0;
    sim_start(d, run_daemon);
}

static void restart_later(struct sim_daemon *d)
{
    d->start_us = sim.now_us + sim_delay(1000000);
}

static void kill_daemon(struct sim_daemon *d)
{
    if (!is_up(d))
        return;
    sim_trace("%c is killed", d->name);
    sim_end_process(d);
    d->exit = SIM_KILLED;
    restart_later(d);
}

/* The process ended by itself. */
static void ended(struct sim_daemon *d)
{
    sim_end_process(d);
    sim_trace("%c ends: %s", d->name, d->exit == SIM_STOPPED ? "stopped" : d->err.text);
    if (d->exit == SIM_FAILED && d->err.exit_code == WF_EXIT_REFUSED) {
        d->refused = true;
        if (!sim.vandal)
            sim_bad("refuses without a reason: %.180s", d->err.text);
        return;
    }
    if (d->exit == SIM_FAILED && (!sim.oom || !d->err.text[0]))
        sim_bad("ends: %.200s", d->err.text);
    restart_later(d);
}

/* ---- the making of a schedule ---- */

static unsigned rate(unsigned n)
{
    return sim_one_in(2) ? 0 : n;
}

static uint32_t make_changes(struct sim_item *item)
{
    uint32_t events = 0;

    item->changes = sim_one_in(8)   ? 0
                    : sim_one_in(4) ? 1 + sim_below(SIM_CHANGES)
                                    : 1 + sim_below(3);
    for (uint32_t i = 0; i < item->changes; i++) {
        item->wanted[i] = !sim_one_in(12);
        item->events[i] = !item->wanted[i] || sim_one_in(10) ? 0 : sim_one_in(8) ? 2 : 1;
        events += item->events[i];
    }
    item->events[item->changes] = sim.ends;
    return events + sim.ends;
}

static void make_wal(void)
{
    uint64_t lsn = 0x1000000 + sim_below(0x1000000), at = sim_delay(300000);

    sim_pg = (struct sim_pg){.start_lsn = lsn};
    sim_pg.nitems = 2 + sim_below(SIM_ITEMS - 2);
    for (unsigned i = 0; i < sim_pg.nitems; i++) {
        struct sim_item *item = &sim_pg.item[i];
        uint64_t before = lsn;

        lsn += sim_one_in(3) ? 0 : sim_below(2000);
        item->alone = sim_one_in(8);
        item->first_event = sim_pg.nevents;
        if (item->alone) {
            item->events[0] = 1;
            sim_pg.nevents++;
        } else {
            sim_pg.nevents += make_changes(item);
        }
        item->first_lsn = sim_one_in(3) && before > sim_pg.start_lsn + 100 ? before - 100 : lsn;
        item->final_lsn = lsn + (uint64_t)item->changes * 8 + 8 * (sim_below(3) == 0);
        lsn = item->end_lsn = item->final_lsn + 48;
        item->at_us = at;
        at += sim_delay(2000000);
    }
    sim_pg.slot.exists = !sim_one_in(3);
    sim_pg.slot.confirmed = sim_pg.slot.on_disk = sim_pg.start_lsn;
    sim_pg.sync_us = sim_below(1000000);
}

static void make_weather(void)
{
    sim.slow = 1;
    sim.weather = (struct sim_weather){
        .lose_request = rate(4 + sim_below(30)),
        .lose_reply = rate(4 + sim_below(30)),
        .late_copy = 1 + sim_below(3),
        .silent_retry = 2,
        .fail_batch = rate(10 + sim_below(40)),
        .fail_read = rate(4),
        .short_read = 3 + sim_below(20),
        .disk = rate(4 + sim_below(20)),
        .again = 2 + sim_below(20),
        .full = 2 + sim_below(40),
        .disk_us = sim_one_in(3) ? 3000000 : DISK_US, /* one that others keep busy */
        .turn_us = sim_one_in(3) ? 3000000 : TURN_US,
    };
}

static void make_faults(void)
{
    nfaults = sim_below(FAULTS_MAX + 1);
    vandal_waits = false;
    for (unsigned i = 0; i < nfaults; i++) {
        faults[i].kind = (enum fault_kind)sim_below(VANDAL);
        faults[i].at_us = sim_delay(HEAL_US - 1000000);
        faults[i].who = sim_below(sim.ndaemons);
    }
    if (nfaults && sim_one_in(24)) {
        faults[nfaults - 1].kind = VANDAL;
        faults[nfaults - 1].at_us = sim_below(HEAL_US - 1000000);
    }
}

static void make_daemon(unsigned i, bool shared)
{
    static char name[] = "p", slot[] = "s", dir[] = "d";
    struct sim_daemon *d = &sim.daemon[i];

    d->name = (char)('A' + i);
    d->dir = shared ? 0 : i;
    d->refused = false;
    d->main.active = false;
    d->start_us = sim_delay(500000);
    d->kafka = (struct wf_kafka_conf){.delivery = sim.eos ? WF_EXACTLY_ONCE : WF_AT_LEAST_ONCE,
                                      .transaction_interval_ms = 1 + (int64_t)sim_below(300),
                                      .transaction_events = 1 + (int64_t)sim_below(12),
                                      .transaction_bytes = SIM_SPLIT_ROOM,
                                      .transaction_timeout_ms = 3000 + (int64_t)sim_below(27000),
                                      .transaction_idle_ms = 10 + (int64_t)sim_below(2000),
                                      .queue_bytes = 4096 * (int64_t)sim_below(4),
                                      .split_events = 2 + (int64_t)sim_below(10)};
    d->config = (struct wf_config){.pipeline = name,
                                   .source = {.slot = slot,
                                              .publication = name,
                                              .create = true,
                                              .status_interval_ms = 1000,
                                              .stall_limit_ms = sim_one_in(4) ? 300 : 60000,
                                              .reconnect_max_ms = 2000,
                                              .max_row_bytes = 1 << 20},
                                   .format.heartbeat_ms = sim_one_in(8) ? 150 : 0,
                                   .state = {.dir = dir, .interval_ms = (int64_t)sim_below(200)},
                                   .sink_ops = &wf_sink_kafka,
                                   .sink = &d->kafka};
}

static void make_schedule(uint64_t seed)
{
    sim.seed = seed;
    sim.rng = seed * 2 + sim.eos;
    sim.now_us = sim.steps = 0;
    sim.healed = sim.vandal = false;
    sim.bad[0] = '\0';
    sim.ends = sim_one_in(2);
    sim.old_slot = sim_one_in(4);
    sim.ndaemons = 1 + sim_one_in(3);
    sim_disk_reset();
    sim_pg_reset();
    sim_kafka_reset();
    sim_parts_reset();
    make_wal();
    make_weather();
    make_faults();
    for (unsigned i = 0, shared = !sim.eos || sim_one_in(2); i < sim.ndaemons; i++)
        make_daemon(i, shared);
}

/* ---- faults ---- */

static void power_loss(void)
{
    sim_trace("power loss");
    for (unsigned i = 0; i < sim.ndaemons; i++)
        kill_daemon(&sim.daemon[i]);
    for (unsigned i = 0; i < SIM_DAEMONS; i++)
        sim_disk_power_loss(i);
}

static void strike(enum fault_kind kind, struct sim_daemon *d)
{
    switch (kind) {
    case KILL:
        kill_daemon(d);
        break;
    case TERMINATE:
        sim_trace("%c is told to stop", d->name);
        d->stop = 1;
        sim_wake(d);
        break;
    case POWER:
        power_loss();
        break;
    case SERVER_CRASH:
        sim_pg_crash(sim_delay(1000000));
        break;
    case CUT:
        sim_pg_cut();
        break;
    case SLOW:
        sim.slow = sim.slow == 1 ? 100 : 1;
        break;
    default:
        vandal_waits = true;
        kill_daemon(d);
    }
}

/* Somebody advances the slot while nobody reads it: past what was ever read. */
static void vandalise(void)
{
    uint64_t durable = sim_disk_durable_lsn(0), to = sim_pg_wal_end();

    if (sim_disk_durable_lsn(1) > durable)
        durable = sim_disk_durable_lsn(1);
    if (sim.eos || !durable)
        durable = sim_kafka_kept_lsn();
    if (sim_pg.slot.holder || !sim_pg.slot.exists || !durable || to <= durable)
        return;
    sim_trace("somebody advances the slot to %s", wf_lsn_text(to).s);
    vandal_waits = false;
    sim.vandal = true;
    sim_pg.slot.confirmed = sim_pg.slot.on_disk = to;
}

static void heal(void)
{
    sim_trace("no more faults");
    sim.healed = true;
    sim.slow = 1;
    vandal_waits = false;
    sim.weather.lose_request = sim.weather.lose_reply = sim.weather.fail_batch = 0;
    sim.weather.fail_read = sim.weather.disk = 0;
    sim.weather.disk_us = DISK_US;
    sim.weather.turn_us = TURN_US;
    for (unsigned i = 0; i < sim.ndaemons; i++)
        sim.daemon[i].fail_at = 0;
}

static uint64_t faults_due(void)
{
    uint64_t due = sim.healed ? SIM_NEVER : HEAL_US;

    for (unsigned i = 0; i < nfaults; i++) {
        if (faults[i].at_us < due)
            due = faults[i].at_us;
    }
    return vandal_waits && sim.now_us + 1000 < due ? sim.now_us + 1000 : due;
}

static void run_faults(void)
{
    if (vandal_waits)
        vandalise();
    for (unsigned i = 0; i < nfaults; i++) {
        if (faults[i].at_us > sim.now_us)
            continue;
        faults[i].at_us = SIM_NEVER;
        strike(faults[i].kind, &sim.daemon[faults[i].who]);
    }
    if (!sim.healed && sim.now_us >= HEAL_US)
        heal();
}

/* ---- the run of a schedule ---- */

static struct sim_co *next_thread(uint64_t *due)
{
    struct sim_co *next = NULL;

    *due = SIM_NEVER;
    for (unsigned i = 0; i < sim.ndaemons; i++) {
        struct sim_daemon *d = &sim.daemon[i];

        for (unsigned j = 0; j <= SIM_WORKERS && is_up(d); j++) {
            struct sim_co *co = j ? &d->workers[j - 1] : &d->main;

            if (co->active && co->wake_us < *due) {
                next = co;
                *due = co->wake_us;
            }
        }
        if (!is_up(d) && !d->refused && d->start_us < *due) {
            next = &d->main;
            *due = d->start_us;
        }
    }
    return next;
}

static void advance_to(uint64_t us)
{
    if (us > sim.now_us)
        sim.now_us = us;
}

static void run_thread(struct sim_co *co)
{
    struct sim_daemon *d = co->active ? co->daemon : NULL;

    if (!d) { /* a process that is to be started */
        for (unsigned i = 0; i < sim.ndaemons; i++) {
            if (co == &sim.daemon[i].main)
                start_daemon(&sim.daemon[i]);
        }
        return;
    }
    sim_resume(co);
    if (co == &d->main && !co->active)
        ended(d);
}

/* Whoever is due first does something. */
static void step(void)
{
    uint64_t thread_us, pg_us = sim_pg_due(), kafka_us = sim_kafka_due(), faults_us = faults_due();
    struct sim_co *co = next_thread(&thread_us);

    sim.steps++;
    if (thread_us <= pg_us && thread_us <= kafka_us && thread_us <= faults_us) {
        advance_to(thread_us);
        run_thread(co);
    } else if (pg_us <= kafka_us && pg_us <= faults_us) {
        advance_to(pg_us);
        sim_pg_step();
    } else if (kafka_us <= faults_us) {
        advance_to(kafka_us);
        sim_kafka_step();
    } else {
        advance_to(faults_us);
        run_faults();
    }
}

static bool is_over(void)
{
    bool all_refused = true;

    for (unsigned i = 0; i < sim.ndaemons; i++)
        all_refused &= sim.daemon[i].refused;
    if (all_refused)
        return true;
    if (!sim_kafka_has_all() || vandal_waits)
        return false;
    for (unsigned i = 0; i < nfaults; i++) {
        if (faults[i].at_us != SIM_NEVER)
            return false;
    }
    return sim_pg.slot.confirmed >= sim_pg_last_end();
}

/* Return: whether everything held. */
static bool run_schedule(uint64_t seed)
{
    make_schedule(seed);
    while (!sim.bad[0] && !is_over()) {
        step();
        if (sim.now_us > LIMIT_US || sim.steps > STEPS_MAX)
            sim_bad("progress: %u events and a slot at %s are not reached after %" PRIu64 " steps",
                    sim_pg.nevents, wf_lsn_text(sim_pg_last_end()).s, sim.steps);
    }
    for (unsigned i = 0; i < sim.ndaemons; i++) {
        if (is_up(&sim.daemon[i]))
            sim_end_process(&sim.daemon[i]);
    }
    if (sim.verbose)
        printf("%" PRIu64 " steps, %.3f s of time%s%s\n", sim.steps, (double)sim.now_us / 1e6,
               sim.bad[0] ? ": " : "", sim.bad);
    return !sim.bad[0];
}

/* ---- mutants ---- */

#ifdef WALFERRY_MUTANTS
enum wf_mutant wf_mutant;

#define NAME(name, what) #name,
static const char *const mutant_names[] = {"none", WF_MUTANTS(NAME) NULL};
#define WHAT(name, what) what,
static const char *const mutant_bugs[] = {"", WF_MUTANTS(WHAT) NULL};

static bool select_mutant(const char *name)
{
    for (int i = 1; mutant_names[i]; i++) {
        if (strcmp(mutant_names[i], name) == 0) {
            wf_mutant = (enum wf_mutant)i;
            return true;
        }
    }
    return false;
}

struct kill {
    uint64_t seed; /* 0 = it survives */
    bool eos;
    char why[sizeof(sim.bad)];
};

static struct kill *hunted; /* shared: the hunter may crash */

static void hunt(int mutant)
{
    wf_mutant = (enum wf_mutant)mutant;
    for (uint64_t seed = 1; seed <= MUTANT_SEEDS; seed++) {
        for (int eos = 1; eos >= 0; eos--) {
            sim.eos = eos;
            *hunted = (struct kill){seed, eos, "crashes"};
            if (!run_schedule(seed)) {
                memcpy(hunted->why, sim.bad, sizeof(hunted->why));
                return;
            }
        }
    }
    hunted->seed = 0;
}

/* Each in a process of its own: a mutant may do anything. */
static int run_mutants(void)
{
    int killed = 0, n = 0;

    hunted = mmap(NULL, sizeof(*hunted), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (hunted == MAP_FAILED)
        return 2;
    for (int i = 1; mutant_names[i]; i++, n++) {
        pid_t pid = fork();

        if (pid == 0) {
            hunt(i);
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) < 0)
            return 2;
        killed += hunted->seed > 0;
        if (hunted->seed)
            printf("killed    %-18s %s, seed %-5" PRIu64 " %s\n%34s%.100s\n", mutant_names[i],
                   hunted->eos ? "eos" : "alo", hunted->seed, mutant_bugs[i], "", hunted->why);
        else
            printf("SURVIVES  %-18s %s\n", mutant_names[i], mutant_bugs[i]);
        fflush(stdout);
    }
    printf("%d of %d mutants killed\n", killed, n);
    return killed == n ? 0 : 1;
}
#endif

/* ---- the command line ---- */

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct arguments {
    uint64_t first, last;
    const char *mutant;
    bool eos, alo, mutants;
};

static bool parse(struct arguments *a, int argc, char **argv)
{
    char *end;

    *a = (struct arguments){.first = 1, .last = 10000, .eos = true, .alo = true};
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(word, "-v") == 0) {
            sim.verbose = true;
        } else if (strcmp(word, "--memory") == 0) {
            sim.oom = true;
        } else if (strcmp(word, "--mutants") == 0) {
            a->mutants = true;
        } else if (!value) {
            return false;
        } else if (strcmp(word, "--seeds") == 0) {
            a->first = a->last = strtoull(value, &end, 10);
            if (strncmp(end, "..", 2) == 0)
                a->last = strtoull(end + 2, NULL, 10);
            i++;
        } else if (strcmp(word, "--mode") == 0) {
            a->eos = strcmp(value, "eos") == 0;
            a->alo = !a->eos;
            i++;
        } else if (strcmp(word, "--mutant") == 0) {
            a->mutant = value;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

static uint64_t run_mode(const struct arguments *a, bool eos)
{
    const char *mode = eos ? "eos" : "alo";
    double began = seconds(), took;
    uint64_t failures = 0, steps = 0;

    sim.eos = eos;
    for (uint64_t seed = a->first; seed <= a->last; seed++) {
        if (!run_schedule(seed)) {
            failures++;
            printf("FAILS seed %" PRIu64 ": %s\n  replay: sim --mode %s --seeds %" PRIu64
                   "%s%s%s -v\n",
                   seed, sim.bad, mode, seed, a->mutant ? " --mutant " : "",
                   a->mutant ? a->mutant : "", sim.oom ? " --memory" : "");
        }
        steps += sim.steps;
    }
    took = seconds() - began;
    printf("%s: %" PRIu64 " schedules, %" PRIu64 " steps, %" PRIu64 " violations, %.1f s, %.0f us "
           "per schedule\n",
           mode, a->last - a->first + 1, steps, failures, took,
           took * 1e6 / (double)(a->last - a->first + 1));
    return failures;
}

static void crashed(int signal)
{
    printf("FAILS seed %" PRIu64 ": signal %d\n  replay: sim --mode %s --seeds %" PRIu64 " -v\n",
           sim.seed, signal, sim.eos ? "eos" : "alo", sim.seed);
    fflush(stdout);
    _exit(1);
}

int main(int argc, char **argv)
{
    struct arguments a;
    uint64_t failures = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!parse(&a, argc, argv)) {
        fprintf(stderr, "usage: sim [--seeds A..B] [--mode eos|alo] [--mutant NAME] [--memory] "
                        "[-v] | --mutants\n");
        return 2;
    }
    if (a.mutants)
        return run_mutants();
    signal(SIGSEGV, crashed);
    signal(SIGABRT, crashed);
    if (a.mutant && !select_mutant(a.mutant)) {
        fprintf(stderr, "no mutant %s\n", a.mutant);
        return 2;
    }
    if (a.eos)
        failures += run_mode(&a, true);
    if (a.alo)
        failures += run_mode(&a, false);
    return failures ? 1 : 0;
}
