/* Profiles: what an event looks like, beyond its bytes. */
#ifndef WF_PROFILE_H
#define WF_PROFILE_H

#include "config.h"
#include "types.h"

/* The modes of types as the profile and its options say; AUTO is resolved. */
struct wf_type_modes wf_profile_modes(const struct wf_format_conf *conf);

#endif
