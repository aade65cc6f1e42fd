#include "profile.h"

/* What AUTO means. */
struct auto_modes {
    int time, zoned, interval, hstore;
    bool unknown;
};

static const struct auto_modes by_profile[] = {
    [WF_PROFILE_DEBEZIUM] = {WF_TIME_ADAPTIVE, WF_ZONED_STRING, WF_INTERVAL_NUMERIC, WF_HSTORE_JSON,
                             true},
    [WF_PROFILE_STRICT] = {WF_TIME_ADAPTIVE, WF_ZONED_STRING, WF_INTERVAL_NUMERIC, WF_HSTORE_JSON,
                           false},
    [WF_PROFILE_NATIVE] = {WF_TIME_MICROS, WF_ZONED_TIMESTAMP_MICROS, WF_INTERVAL_AUTO,
                           WF_HSTORE_MAP, true},
    [WF_PROFILE_CONNECT] = {WF_TIME_CONNECT, WF_ZONED_AUTO, WF_INTERVAL_STRING, WF_HSTORE_JSON,
                            true},
    [WF_PROFILE_ROW] = {WF_TIME_MICROS, WF_ZONED_TIMESTAMP_MICROS, WF_INTERVAL_AUTO, WF_HSTORE_MAP,
                        true},
};

static int choose(int chosen, int automatic, int by_itself)
{
    return chosen == automatic ? by_itself : chosen;
}

struct wf_type_modes wf_profile_modes(const struct wf_format_conf *conf)
{
    const struct auto_modes *dflt = &by_profile[conf->profile];

    return (struct wf_type_modes){
        .profile = conf->profile,
        .decimal = conf->decimal_mode,
        .time = choose(conf->time_mode, WF_TIME_AUTO, dflt->time),
        .zoned = choose(conf->zoned_mode, WF_ZONED_AUTO, dflt->zoned),
        .interval = choose(conf->interval_mode, WF_INTERVAL_AUTO, dflt->interval),
        .hstore = choose(conf->hstore_mode, WF_HSTORE_AUTO, dflt->hstore),
        .binary = conf->binary_mode,
        .array = conf->array_mode,
        .lossy = conf->lossy_mode,
        .unknown = conf->unknown_mode == WF_UNKNOWN_AUTO ? dflt->unknown
                                                         : conf->unknown_mode == WF_UNKNOWN_ON,
        .money_digits = (int)conf->money_digits,
        .placeholder = conf->placeholder ? conf->placeholder : WF_TOAST_PLACEHOLDER,
    };
}
